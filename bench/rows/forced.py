"""A run of tokens that a mod puts in: one for each step of the engine, over all at once.

Timed by the client, alone on the server, from the last token before the run to the first that the
model draws after it; so a step each for n tokens is n + 1 steps.
"""

from __future__ import annotations

import statistics
from functools import partial

from bench.answer import Answer, Ask, Block
from bench.models import SMALL
from bench.mods import RUN_AT, at_once, by_steps
from bench.row import Finding, Row, at_least
from bench.run import AGAIN, BASE, Run, check_equal, compare, whole
from bench.server import Program

OURS = Program("ours", SMALL)
AFTER = 4
"""Tokens that the model draws after the run."""
REPEATS = {4: 4, 16: 2, 64: 1, 256: 1}
"""Requests in a block, by tokens of the run."""
FEW_ROUNDS = 3
"""For the longest run, whose steps take seconds."""


def run_seconds(answer: Answer, length: int) -> float:
    """How long the run took, the step that followed it included."""
    begun, count = 0.0, 0
    for event in answer.events:
        count += len(event.ids)
        if count <= RUN_AT:
            begun = event.time
        if count > RUN_AT + length:
            return event.time - begun
    raise RuntimeError(f"an answer of {count} tokens has no run of {length}")


async def measure(run: Run, *, length: int) -> Finding:
    stepwise, together = f"steps_{length}", f"once_{length}"
    mods = {stepwise: by_steps(stepwise, length), together: at_once(together, length)}
    client = await run.client(OURS, mods)
    tokens = RUN_AT + length + AFTER
    await check_equal(run, (client, stepwise), (client, together), tokens)

    async def block(mod: str) -> Block:
        prompts = run.prompts(OURS)
        asks = [Ask(prompts.fresh(), tokens, mod, watched=True) for _ in range(REPEATS[length])]
        return await client.block([asks])

    def seconds(block: Block) -> float:
        return statistics.fmean(run_seconds(answer, length) for answer in block.answers)

    def rate(block: Block) -> float:
        return 1 / seconds(block)

    one = partial(block, stepwise)
    rounds = await run.rounds(
        {BASE: one, "at once": partial(block, together), AGAIN: one},
        min(run.scale.rounds, FEW_ROUNDS) if length > 64 else None,
    )
    milliseconds = [1e3 * seconds(whole(rounds[side])) for side in (BASE, "at once")]
    return Finding(
        compare(rounds, "at once", rate),
        compare(rounds, AGAIN, rate),
        {"run_ms": milliseconds, "step_ms": milliseconds[0] / (length + 1)},
    )


ROWS = [
    Row(
        f"forced-{length}",
        f"a forced run of {length}, a token each step ÷ ours",
        (OURS,),
        partial(measure, length=length),
        at_least(5) if length == 64 else None,
    )
    for length in REPEATS
]
