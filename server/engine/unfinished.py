"""What vLLM's front end has of requests whose only output is still to come.

A whole answer leaves the engine at its end. If the client goes away before, vLLM throws away what
was generated, at once. For the trace somebody must have looked before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Unfinished(NamedTuple):
    """A choice that is under way. tokens, text: those that there are when they are asked for."""

    choice: int
    tokens: Callable[[], list[int]]
    text: Callable[[], str]


def unfinished(engine: Any, request_id: str) -> list[Unfinished]:
    """The request's choices that run now; none for an engine that does not show them."""
    processor = getattr(engine, "output_processor", None)
    own_ids = getattr(processor, "external_req_ids", {}).get(request_id, ())
    states = [getattr(processor, "request_states", {}).get(own_id) for own_id in own_ids]
    return [_of(state) for state in states if getattr(state, "detokenizer", None) is not None]


def _of(state: Any) -> Unfinished:
    words = state.detokenizer
    return Unfinished(
        getattr(state, "request_index", 0),
        lambda: list(words.output_token_ids),
        lambda: str(getattr(words, "output_text", "")),
    )
