from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from server.limits.meter import current_spend, metered


def output(prompt: int, *choices: tuple[int, int]) -> Any:
    """An engine's output: the prompt's length, then index and length of each choice."""
    made = [SimpleNamespace(index=index, token_ids=[1] * length) for index, length in choices]
    return SimpleNamespace(prompt_token_ids=[1] * prompt, outputs=made)


async def given(outputs: Sequence[Any], closed: list[bool]) -> AsyncGenerator[Any, None]:
    try:
        for each in outputs:
            yield each
    finally:
        closed.append(True)


@pytest.mark.parametrize(
    ("delta", "outputs", "tokens"),
    [
        (True, [output(5, (0, 1)), output(5, (0, 2)), output(5, (0, 0))], 8),
        (False, [output(5, (0, 1)), output(5, (0, 3)), output(5, (0, 3))], 8),
        (False, [output(5, (0, 3), (1, 4))], 12),
        (True, [output(5, (0, 1)), output(5, (1, 1)), output(5, (0, 1))], 8),
        (True, [], 0),
    ],
)
async def test_prompt_and_output_are_counted_once(
    delta: bool, outputs: list[Any], tokens: int
) -> None:
    spent, closed = list[int](), list[bool]()
    token = current_spend.set(spent.append)
    seen = [each async for each in metered(given(outputs, closed), delta)]
    current_spend.reset(token)
    assert (sum(spent), seen, closed) == (tokens, outputs, [True])


async def test_who_stops_early_pays_for_what_came_and_the_engine_is_told() -> None:
    spent, closed = list[int](), list[bool]()
    token = current_spend.set(spent.append)
    outputs = metered(given([output(5, (0, 1)), output(5, (0, 9))], closed), True)
    await anext(outputs)
    await outputs.aclose()
    current_spend.reset(token)
    assert (sum(spent), closed) == (6, [True])


async def test_where_nobody_counts_the_outputs_are_the_engine_s_own() -> None:
    outputs = given([], [])
    assert metered(outputs, True) is outputs
    await outputs.aclose()
