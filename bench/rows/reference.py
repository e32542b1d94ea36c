"""Mods on the batched engine, over mods one request at a time, and over a batch without mods.

The other sides are Hugging Face's model in a process of its own, with the same weights: the
reference loop with the same mod, and `generate` on a batch of the same size without mods.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.answer import Answer, Ask, Block, speed
from bench.child import Child
from bench.models import SMALL
from bench.mods import BRANCHES
from bench.row import Finding, Row, at_least
from bench.run import AGAIN, BASE, Run, compare, whole
from bench.server import Program

OURS = Program("ours", SMALL)
MOD = "branches"
CONCURRENCY = 16
TOKENS = 64
LOOP_PROMPTS = 1
"""The loop takes as long for each; so few are enough."""


async def measure(run: Run, *, kind: str) -> Finding:
    client = await run.client(OURS, {MOD: BRANCHES})
    tokens = run.scale.of(TOKENS)
    count = LOOP_PROMPTS if kind == "loop" else CONCURRENCY
    async with Child("bench.reference_child", str(SMALL.folder())) as child:

        async def other() -> Block:
            run.servers.wake(None)
            asks = [place[0] for place in run.places(OURS, count, tokens)]
            question = {"kind": kind, "tokens": tokens, "prompts": [ask.prompt for ask in asks]}
            found = await child.ask({**question, "source": BRANCHES if kind == "loop" else None})
            return block_of(asks, found)

        async def ours() -> Block:
            return await client.block(run.places(OURS, CONCURRENCY, tokens, [MOD]))

        await other()  # to warm up
        rounds = await run.rounds({BASE: other, "ours": ours, AGAIN: other})
    base, measured = whole(rounds[BASE]), whole(rounds["ours"])
    return Finding(
        compare(rounds, "ours", speed),
        compare(rounds, AGAIN, speed),
        {"tokens_per_second": [speed(base), speed(measured)]},
    )


def block_of(asks: list[Ask], found: dict[str, Any]) -> Block:
    """What the other process says of its own work. It streams nothing and tells no cores."""
    answers = [
        Answer(ask, [], {"completion_tokens": len(ids)}, found["wall"])
        for ask, ids in zip(asks, found["ids"], strict=True)
    ]
    return Block(answers, found["wall"], 0.0)


ROWS = [
    Row(
        "reference-loop",
        f"tokens/s with a mod, {CONCURRENCY} at once ÷ the reference loop with that mod",
        (OURS,),
        partial(measure, kind="loop"),
        at_least(3),
    ),
    Row(
        "generate",
        f"tokens/s with a mod, {CONCURRENCY} at once ÷ transformers' generate, a batch of as many",
        (OURS,),
        partial(measure, kind="generate"),
    ),
]
