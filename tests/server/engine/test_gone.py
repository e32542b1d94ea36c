"""What breaks while the engine is dead is a 503; what breaks otherwise stays what it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus
from types import SimpleNamespace

import pytest
from vllm.v1.engine.exceptions import EngineDeadError

from server.engine.gone import EngineGoneError, told_if_gone


async def two_and(error: Exception) -> AsyncGenerator[int, None]:
    yield 1
    yield 2
    raise error


@pytest.mark.parametrize(
    ("errored", "error", "comes"),
    [
        (False, EngineDeadError(), EngineGoneError),
        (True, ConnectionError("the worker has ended"), EngineGoneError),
        (False, ConnectionError("the worker has ended"), ConnectionError),
    ],
)
async def test_the_engine_is_blamed_for_what_breaks_while_it_is_dead(
    errored: bool, error: Exception, comes: type[Exception]
) -> None:
    outputs = told_if_gone(SimpleNamespace(errored=errored), two_and(error))
    assert [await anext(outputs), await anext(outputs)] == [1, 2]
    with pytest.raises(comes) as raised:
        await anext(outputs)
    if isinstance(raised.value, EngineGoneError):
        assert raised.value.http_status == HTTPStatus.SERVICE_UNAVAILABLE
