"""What `generate` was called with, apart from the prompt's tokens and the parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.inputs.engine import TokensInput, tokens_input


@dataclass(frozen=True)
class Given:
    """arguments: the rest of the keyword arguments, handed on to every segment.

    end_of_sequence: an id that stands for the end where vLLM wants a token to see one.
    """

    engine: EngineClient
    tokenizer: Any
    request_id: str
    arguments: dict[str, Any]
    cache_salt: str | None
    prompt_text: str | None
    arrival_time: float | None
    end_of_sequence: int

    def prompt(self, tokens: list[int]) -> TokensInput:
        """A segment's prompt, which keeps the request's place in the queue and its cache salt."""
        prompt = tokens_input(tokens, cache_salt=self.cache_salt)
        if self.arrival_time is not None:
            prompt["arrival_time"] = self.arrival_time
        return prompt
