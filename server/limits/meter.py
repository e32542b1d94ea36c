"""Counts the tokens of one HTTP request as the engine gives them, so that its key pays for them.

The gate leaves a meter in the context, the engine's wrapper finds it there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from typing import Any

Spend = Callable[[int], None]
"""Told of tokens, prompts' and outputs', when they are there."""

current_spend: ContextVar[Spend | None] = ContextVar("concordance_spend", default=None)
"""Of the request that the running task serves; None where nobody counts."""


def metered(outputs: AsyncGenerator[Any, None], delta: bool) -> AsyncGenerator[Any, None]:
    """The engine's outputs of one request, counted if somebody counts.

    delta: whether each output has new tokens only; else it has all so far.
    """
    spend = current_spend.get()
    return outputs if spend is None else _counted(outputs, delta, spend)


async def _counted(
    outputs: AsyncGenerator[Any, None], delta: bool, spend: Spend
) -> AsyncGenerator[Any, None]:
    prompt_counted, so_far = False, dict[int, int]()
    async with aclosing(outputs):
        async for output in outputs:
            tokens = 0
            if not prompt_counted:
                prompt_counted, tokens = True, len(output.prompt_token_ids or ())
            for choice in output.outputs:
                there = len(choice.token_ids)
                tokens += there - (0 if delta else so_far.get(choice.index, 0))
                so_far[choice.index] = there
            if tokens > 0:
                spend(tokens)
            yield output
