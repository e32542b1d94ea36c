"""What `generate` was called with, apart from the prompt's tokens and the parameters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.inputs.engine import tokens_input

from server.engine.grammars import EngineGrammars
from server.engine.slots import Place, Slots


@dataclass(frozen=True)
class Given:
    """arguments: the rest of the keyword arguments, handed on to every segment.

    end_of_sequence: an id that stands for the end where vLLM wants a token to see one. original:
    the prompt as it was given, where it holds more than tokens. by_priority: whether the engine's
    queue is ordered by priorities, a lower number first.
    """

    engine: EngineClient
    grammars: EngineGrammars
    slots: Slots
    tokenizer: Any
    request_id: str
    arguments: dict[str, Any]
    cache_salt: str | None
    prompt_text: str | None
    arrival_time: float | None
    end_of_sequence: int
    original: dict[str, Any] | None = None
    by_priority: bool = False

    def prompt(self, tokens: list[int]) -> Any:
        """A segment's prompt, which keeps the request's place in the queue and its cache salt."""
        if self.original is not None:
            return {**self.original, "prompt_token_ids": tokens}
        prompt = tokens_input(tokens, cache_salt=self.cache_salt)
        if self.arrival_time is not None:
            prompt["arrival_time"] = self.arrival_time
        return prompt

    @property
    def place(self) -> Place:
        """Where the request stands among those that wait for the engine."""
        return place_of(self.arguments, self.arrival_time)

    def arguments_of(self, segment: int) -> dict[str, Any]:
        """What a segment is started with. One that goes on goes ahead of those that begin."""
        if not self.by_priority:
            return self.arguments
        return {**self.arguments, "priority": queue_place(self.arguments, segment)}


def place_of(arguments: Mapping[str, Any], arrival_time: float | None) -> Place:
    """A request's place in the queue: the client's priority, then when it came."""
    return int(arguments.get("priority") or 0), arrival_time or time.time()


def queue_place(arguments: Mapping[str, Any], segment: int = 1) -> int:
    """The engine's priority for a client's: twice that, with room for segments that go on."""
    return 2 * int(arguments.get("priority") or 0) - (1 if segment > 1 else 0)
