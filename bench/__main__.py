"""What mods cost: the speed and the processor time of requests with a mod, over those without.

One server, the demo model, and three mods: one that looks at every event (branches), one that
reads the logits of every step (reads), and one that takes four tokens back in every sixteenth
round (undoes). Requests with and without a mod take turns, A B B A a round, each with a prompt
that was never asked before. A ratio is a round's value with the mod over the one without; shown is
the median of the rounds' ratios with a bootstrap 95% interval. "none" measures requests without
mods against themselves: a ratio inside its interval is noise. Processor time is that of the
server's whole process tree, and is steadier than speed; the client shares the machine and is not
in it. The demo model is tiny, so the model's share of a step is too: with larger ones the ratios
come closer to 1. "undoes" draws more tokens than it returns, and everything is per token returned.

    python -m bench                # about a quarter of an hour on two cores
    python -m bench --quick        # a few minutes
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bench.compare import ORDER, Comparison, check_answers, cost, one_round, speed
from bench.load import MAX_TOKENS, Load
from bench.measure import Ratio
from bench.mods import MODS
from bench.server import Server, serving

FULL = {"concurrency": [1, 16, 64], "rounds": 7}
QUICK = {"concurrency": [1, 16], "rounds": 3}
WIDTH = 110


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=_purpose().split(":")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at 1 and 16 at once")
    parser.add_argument("--concurrency", type=_positive, nargs="+", help="requests at once")
    parser.add_argument("--rounds", type=_positive, help="A B B A, so many times")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON line here")
    found = parser.parse_args(given)
    for name, value in (QUICK if found.quick else FULL).items():
        if getattr(found, name) is None:
            setattr(found, name, value)
    return found


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _purpose() -> str:
    return (__doc__ or "").split("\n\n    python")[0]


async def compare_all(
    server: Server, concurrencies: Sequence[int], rounds: int, step: Callable[[], None]
) -> list[Comparison]:
    """Check that the mods do what they should, then measure each at each concurrency."""
    found = []
    async with Load(server) as load:
        for name, source in MODS.items():
            await load.upload(source)
            await check_answers(load, name)
        for concurrency in concurrencies:
            sides = [None, *MODS]
            for mod in sides:
                await load.block(concurrency, mod)  # to warm up
            blocks: dict[str | None, list[Any]] = {mod: [] for mod in sides}
            for _ in range(rounds):
                for mod in sides:
                    blocks[mod].append(await one_round(load, concurrency, mod, step))
            found += [Comparison(concurrency, mod, blocks[mod]) for mod in sides]
    return found


def table(comparisons: Sequence[Comparison]) -> Table:
    shown = Table(title="without mods → with the mod; ratios with their 95% intervals")
    shown.add_column("mod")
    for heading in ("at once", "tokens/s", "ratio", "core-µs/token", "ratio", "drawn", "late"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for one in comparisons:
        without, with_mod = one.sides
        shown.add_row(
            one.mod or "none",
            str(one.concurrency),
            f"{speed(without):.0f} → {speed(with_mod):.0f}",
            _shown(one.ratio(speed)),
            f"{cost(without):.0f} → {cost(with_mod):.0f}",
            _shown(one.ratio(cost)),
            f"{with_mod.drawn / with_mod.tokens:.2f}",
            f"{with_mod.late}/{with_mod.segments}",
            end_section=one.mod == [*MODS][-1],
        )
    shown.caption = "drawn: tokens drawn per token returned; late: late segments of all with mods"
    return shown


def _shown(ratio: Ratio) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server is stopped all the same
    notes = Console(stderr=True)
    print(_purpose(), end="\n\n", flush=True)
    notes.print("Starting the server: about half a minute ...")
    bar = Progress(
        TextColumn("measuring"), BarColumn(), TextColumn("{task.completed}/{task.total} blocks"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=notes,
    )  # fmt: skip
    with serving() as server, bar:
        total = len(given.concurrency) * given.rounds * len(ORDER) * (1 + len(MODS))
        task = bar.add_task("", total=total)
        measured = asyncio.run(
            compare_all(server, given.concurrency, given.rounds, lambda: bar.advance(task))
        )
    out = Console()
    out.width = max(WIDTH, out.width)  # in a file, too, every column is whole
    out.print(table(measured))
    results = [one.as_json() for one in measured]
    settings = {"cores": os.cpu_count(), "rounds": given.rounds, "max_tokens": MAX_TOKENS}
    line = json.dumps({"bench": "mods", **settings, "results": results})
    print(line)
    if given.json:
        given.json.write_text(line + "\n")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, OSError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
