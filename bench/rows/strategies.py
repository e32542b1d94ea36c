"""A strategy over a whole answer, of every request: compiled to a grammar, and step by step.

Compiled, a token costs a mask and no Python. Beside it stands the same strategy as sets of tokens
that the mod allows at each step.
"""

from __future__ import annotations

from functools import partial

import regex

from bench.answer import Ask, Block, tpot
from bench.client import Client
from bench.models import SMALL
from bench.mods import HELD_TO, STRATEGIES, compiled, step_by_step
from bench.row import Finding, Row, at_most
from bench.run import AGAIN, BASE, CHECKED_PROMPTS, CHECKED_TOKENS, Run, compare, whole
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
    for mod in (fast, slow):
        await check_held(run, client, mod, HELD_TO[strategy])
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


async def check_held(run: Run, client: Client, mod: str, pattern: str) -> None:
    """Raise `RuntimeError` for an answer that is no beginning of such a text.

    Both forms allow the same texts, and spell them differently: where a text is certain, a grammar
    takes the tokenizer's own tokens for it.
    """
    prompts = run.prompts(OURS)
    asks = [Ask(prompts.fresh(), CHECKED_TOKENS, mod, watched=True) for _ in range(CHECKED_PROMPTS)]
    for answer in (await client.block([asks])).answers:
        if not answer.text or not regex.fullmatch(pattern, answer.text, partial=True):
            raise RuntimeError(f"under its strategy {mod} writes {answer.text!r}")


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
