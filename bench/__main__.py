"""Measure, and say what came out: a table for people, one JSON line at the end.

Each row compares two sides that take turns, A B C C B A a round, with fresh prompts and fixed
work. Shown is the median of the rounds' ratios with its bootstrap 95% interval, beside a noise
floor: the same arithmetic on the first side and itself (A and C). A number inside the floor's
interval is noise. `--list` says what the rows are.

    python -m bench                          # every row
    python -m bench stock-16 forced-64       # these
    python -m bench --quick                  # every row in a few rounds: a look, no result
    python -m bench --write                  # keep the numbers, and write RESULTS.md and the plot
    python -m bench --render                 # write them again from the numbers that were kept
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console

from bench import kept
from bench.entry import Entry, failed, measured
from bench.progress import Bar
from bench.row import Row
from bench.rows import ROWS
from bench.run import FULL, QUICK, Run
from bench.server import Servers
from bench.table import for_terminal, shown_target

WIDTH = 120


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=_purpose())
    parser.add_argument("rows", nargs="*", metavar="ROW", help="by name; all without any")
    parser.add_argument("--list", action="store_true", help="say what the rows are, and no more")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and shorter blocks")
    parser.add_argument("--write", action="store_true", help="keep the numbers in bench/")
    parser.add_argument("--render", action="store_true", help="RESULTS.md from the kept numbers")
    found = parser.parse_args(given)
    known = {row.name: row for row in ROWS}
    unknown = [name for name in found.rows if name not in known]
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    found.rows = [row for row in ROWS if not found.rows or row.name in found.rows]
    return found


def _purpose() -> str:
    return (__doc__ or "").split("\n", 1)[0]


async def measure_all(
    rows: Sequence[Row], quick: bool, notes: Console, keep: Callable[[Entry], None]
) -> list[Entry]:
    """Row by row; a row that fails is an entry too, and the others go on. keep: gets each at once,
    so that a run that is interrupted leaves what it has."""
    task = asyncio.current_task()
    assert task is not None
    # A cancelled task stops its servers; a process that just ends would leave them.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    entries = []
    with Servers() as servers, Bar(len(rows), notes) as bar:
        run = Run(servers, QUICK if quick else FULL, bar)
        for place, row in enumerate(rows):
            servers.keep({program for later in rows[place:] for program in later.programs})
            bar.begin(row.name)
            entries.append(await measure_one(row, run, quick))
            keep(entries[-1])
            bar.end(entries[-1])
    return entries


async def measure_one(row: Row, run: Run, quick: bool) -> Entry:
    began = time.monotonic()
    try:
        for program in row.programs:
            await run.servers.get(program)
        began = time.monotonic()  # a start is no part of the row's time
        finding = await row.measure(run)
    except Exception as error:  # whatever is wrong with one row, the others are measured
        return failed(row, error, time.monotonic() - began, quick)
    return measured(row, finding, time.monotonic() - began, quick)


def keep_one(entry: Entry) -> None:
    """Put it among the kept numbers."""
    kept.write(kept.merge(kept.load(), [entry]))


def forget(_: Entry) -> None:
    """Nothing is kept."""


def listed(rows: Sequence[Row]) -> str:
    width = max(len(row.name) for row in rows)
    return "\n".join(
        f"{row.name:<{width}}  {row.says} ({shown_target(row.target, row.unit)})" for row in rows
    )


def main() -> int:
    given = arguments()
    if given.list:
        print(listed(given.rows))
        return 0
    if given.render:
        kept.write(kept.merge(kept.load(), []))
        return 0
    keep = keep_one if given.write else forget
    entries = asyncio.run(measure_all(given.rows, given.quick, Console(stderr=True), keep))
    out = Console()
    out.width = max(WIDTH, out.width)  # in a file, too, every column is whole
    out.print(for_terminal(entries))
    print(msgspec.json.encode({"bench": kept.machine(), "rows": entries}).decode())
    return 1 if any(entry.error for entry in entries) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except asyncio.CancelledError:
        sys.exit(143)
