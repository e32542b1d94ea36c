"""A strategy over a whole answer, of every request: compiled to a grammar, and step by step.

Compiled, a token costs a mask and no Python. Beside it stands the same strategy as sets of tokens
that the mod allows at each step.
"""

from __future__ import annotations

from functools import partial

from bench.answer import Block, tpot
from bench.models import SMALL
from bench.mods import STRATEGIES, compiled, step_by_step
from bench.row import Finding, Row, at_most
from bench.run import AGAIN, BASE, Run, check_equal, compare, whole
from bench.server import Program

OURS = Program("ours", SMALL)
TOKENS = 64
AT_ONCE = 16
FEW_ROUNDS = 2
"""For the form step by step, which takes long."""


async def measure(run: Run, *, strategy: str) -> Finding:
    fast, slow = f"{strategy}_compiled", f"{strategy}_stepwise"
    client = await run.client(
        OURS, {fast: compiled(fast, strategy), slow: step_by_step(slow, strategy)}
    )
    await check_equal(run, (client, fast), (client, slow))
    tokens = run.scale.of(TOKENS)

    async def block(mod: str | None) -> Block:
        return await client.block(run.places(OURS, AT_ONCE, tokens, [mod]))

    none = partial(block, None)
    rounds = await run.rounds({BASE: none, "compiled": partial(block, fast), AGAIN: none})
    stepwise = await run.rounds({BASE: none, "stepwise": partial(block, slow)}, FEW_ROUNDS)
    return Finding(
        compare(rounds, "compiled", tpot),
        compare(rounds, AGAIN, tpot),
        {
            "stepwise_ratio": compare(stepwise, "stepwise", tpot).as_json(),
            "tpot_ms": [tpot(whole(rounds[name])) for name in (BASE, "compiled")],
        },
    )


ROWS = [
    Row(
        f"strategy-{strategy}",
        f"TPOT, a compiled {kind} on all requests ÷ none, 16 at once",
        (OURS,),
        partial(measure, strategy=strategy),
        at_most(1.05),
    )
    for strategy, kind in STRATEGIES.items()
]
