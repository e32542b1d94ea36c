"""Requests with mods that change nothing, on one server: what it costs to be looked at.

The mod looks at every event, three handler calls a token. TPOT is of streams, the mean over a
block's requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bench.answer import Block, cost, speed, tpot, tpot_without_mods
from bench.estimate import median_of
from bench.models import DEMO, SMALL
from bench.mods import BRANCHES
from bench.row import Finding, Row, at_most
from bench.run import AGAIN, BASE, Run, check_equal, compare, whole
from bench.server import Program

SMALL_OURS, DEMO_OURS = Program("ours", SMALL), Program("ours", DEMO)
SOURCES = {"branches": BRANCHES}
TOKENS = {16: 64, 64: 40}
"""Of an answer, by requests at once."""
DEMO_TOKENS = 256
WITH = "with mods"

Rounds = dict[str, list[Block]]


async def with_and_without(
    run: Run, program: Program, mods: Sequence[str | None], concurrency: int, tokens: int
) -> Rounds:
    """Rounds of requests without mods, with these in turn over the places, and without again."""
    client = await run.client(program, SOURCES)
    for mod in {*mods} - {None}:
        await check_equal(run, (client, None), (client, mod))

    async def block(named: Sequence[str | None]) -> Block:
        places = run.places(program, concurrency, run.scale.of(tokens), named)
        return await client.block(places)

    none = partial(block, [None])
    return await run.rounds({BASE: none, WITH: partial(block, mods), AGAIN: none})


def facts(rounds: Rounds, value: Callable[[Block], float] = tpot) -> dict[str, object]:
    """Both sides' numbers, without mods first."""
    base, modded = whole(rounds[BASE]), whole(rounds[WITH])
    return {
        "tpot_ms": [value(base), value(modded)],
        "tokens_per_second": [speed(base), speed(modded)],
        "core_us_per_token": [cost(base), cost(modded)],
        "segments": modded.segments,
        "late_segments": modded.late,
    }


async def slower(
    run: Run,
    *,
    mods: Sequence[str | None],
    concurrency: int,
    value: Callable[[Block], float] = tpot,
) -> Finding:
    """TPOT with these mods over TPOT without."""
    rounds = await with_and_without(run, SMALL_OURS, mods, concurrency, TOKENS[concurrency])
    return Finding(
        compare(rounds, WITH, value), compare(rounds, AGAIN, value), facts(rounds, value)
    )


async def added_cost(run: Run, *, mod: str) -> Finding:
    """Core-microseconds that the mod adds to a token of the demo model."""
    rounds = await with_and_without(run, DEMO_OURS, [mod], 16, DEMO_TOKENS)
    pairs = zip(rounds[BASE], rounds[WITH], strict=True)
    added = median_of([cost(modded) - cost(base) for base, modded in pairs])
    more = {"core_us_ratio": compare(rounds, WITH, cost).as_json(), **facts(rounds)}
    return Finding(added, compare(rounds, AGAIN, cost), more)


ROWS = [
    *(
        Row(
            f"branches-{concurrency}",
            f"TPOT, a mod that branches on every event ÷ none, {concurrency} at once",
            (SMALL_OURS,),
            partial(slower, mods=["branches"], concurrency=concurrency),
            at_most(1.04),
        )
        for concurrency in TOKENS
    ),
    Row(
        "neighbours",
        "TPOT of 8 requests without mods, 8 with one beside them ÷ 8 more without",
        (SMALL_OURS,),
        partial(slower, mods=[None, "branches"], concurrency=16, value=tpot_without_mods),
        at_most(1.03),
    ),
    Row(
        "branches-demo",
        "added by that mod to a token of the demo model, 16 at once",
        (DEMO_OURS,),
        partial(added_cost, mod="branches"),
        unit="core-µs",
    ),
]
