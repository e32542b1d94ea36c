"""Requests without mods, in our server and in stock vLLM: what it costs to have the server at all.

Same model, flags and client. Each place streams one answer of a fixed length (two in a row where
there is one place), and all of it counts: prefill, the ramp and the end of the slowest.
"""

from __future__ import annotations

from functools import partial

from bench.answer import Block, cost, speed, tpot
from bench.models import SMALL
from bench.row import Finding, Row, at_least
from bench.run import AGAIN, BASE, Run, check_equal, compare, whole
from bench.server import Program

OURS, STOCK = Program("ours", SMALL), Program("stock", SMALL)
TOKENS = {1: 64, 16: 64, 64: 40}
"""Of an answer, by requests at once."""
ROUNDS = 2
"""Times as many as other rows have: what is looked for is smaller than what one round tells."""


async def measure(run: Run, *, concurrency: int) -> Finding:
    await check_equal(run, (await run.client(STOCK), None), (await run.client(OURS), None))
    tokens = run.scale.of(TOKENS[concurrency])

    async def block(program: Program) -> Block:
        client = await run.client(program)
        return await client.block(run.places(program, concurrency, tokens))

    stock, ours = partial(block, STOCK), partial(block, OURS)
    sides = {BASE: stock, "ours": ours, AGAIN: stock}
    rounds = await run.rounds(sides, ROUNDS * run.scale.rounds)
    base, measured = whole(rounds[BASE]), whole(rounds["ours"])
    return Finding(
        compare(rounds, "ours", speed),
        compare(rounds, AGAIN, speed),
        {
            "tokens_per_second": [speed(base), speed(measured)],
            "tpot_ms": [tpot(base), tpot(measured)],
            "core_us_per_token": [cost(base), cost(measured)],
            "core_us_ratio": compare(rounds, "ours", cost).as_json(),
        },
    )


ROWS = [
    Row(
        f"stock-{concurrency}",
        f"no mod ÷ stock vLLM, output tokens/s, {concurrency} at once",
        (OURS, STOCK),
        partial(measure, concurrency=concurrency),
        at_least(0.98),
    )
    for concurrency in TOKENS
]
