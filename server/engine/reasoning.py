"""Where a model's reasoning ends: before that no constraint of the request holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vllm.engine.protocol import EngineClient
from vllm.exceptions import VLLMValidationError


class Reasoning:
    """The reasoning parser that the server was started with, if any."""

    def __init__(self, engine: EngineClient, tokenizer: Any) -> None:
        config = engine.vllm_config.structured_outputs_config
        self._name: str = getattr(config, "reasoning_parser", "") or ""
        self._constrained = bool(getattr(config, "enable_in_reasoning", False))
        self._parser: Any = None
        if self._name and not self._constrained:
            from vllm.reasoning import ReasoningParserManager

            self._parser = ReasoningParserManager.get_reasoning_parser(self._name)(tokenizer)

    def end(self, prompt: Sequence[int], ended: bool | None) -> int | None:
        """The token behind which a constraint holds; None if it holds from the first.

        ended: whether vLLM's layers know that the reasoning is over with the prompt. Raises
        `VLLMValidationError` for a parser that does not end its reasoning with one token.
        """
        if self._parser is None or ended:
            return None
        if ended is None and self._parser.is_reasoning_end(list(prompt)):
            return None
        token = getattr(self._parser, "end_token_id", None)
        if not isinstance(token, int):
            raise VLLMValidationError(
                f"the reasoning parser {self._name!r} ends its reasoning with more than one token,"
                " which constraints cannot follow yet: ask for no reasoning, or for no constraint"
            )
        return token
