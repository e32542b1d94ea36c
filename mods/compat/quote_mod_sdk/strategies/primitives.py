"""`quote_mod_sdk.strategies.primitives`: kinds and modes, and strategies that are bound late.

The strategies here take the tokenizer with every call, as older mods hand it over.
"""

from collections.abc import Sequence
from typing import Any

from mods.sdk.strategies import (
    BoundStrategy,
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    UntilEndType,
    UntilStrat,
)

__all__ = ["CharsMode", "CharsStrategy", "ChoicesStrategy", "UntilEndType", "UntilStrategy"]


class _BoundLate:
    """A strategy that is bound to the tokenizer it is first started with."""

    def __init__(self, description: Any) -> None:
        self._description = description
        self._bound: BoundStrategy | None = None

    def start(self, tokenizer: Any) -> Any:
        self._bound = self._description.into_strategy(tokenizer)
        return self._bound.start(tokenizer)

    def allowed_tokens(self, state: Any, tokenizer: Any = None) -> set[int]:
        return self._strategy.allowed_tokens(state, tokenizer)

    def disallowed_tokens(self, state: Any, tokenizer: Any = None) -> set[int]:
        return self._strategy.disallowed_tokens(state, tokenizer)

    def step(self, state: Any, token_id: int, tokenizer: Any = None) -> None:
        self._strategy.step(state, token_id, tokenizer)

    def is_complete(self, state: Any) -> bool:
        return self._strategy.is_complete(state)

    def trim_answer(self, answer: str) -> str:
        return str(self._description.trim_answer(answer))

    @property
    def _strategy(self) -> BoundStrategy:
        if self._bound is None:
            raise RuntimeError(f"{self._description} was not started: call start(tokenizer) first")
        return self._bound


class ChoicesStrategy(_BoundLate):
    """One of these texts."""

    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__(ChoicesStrat(choices))


class UntilStrategy(_BoundLate):
    """Any text up to an end."""

    def __init__(self, start_tag: str | None, end_type: UntilEndType, stop: str) -> None:
        super().__init__(UntilStrat(start_tag, end_type, stop))


class CharsStrategy(_BoundLate):
    """Characters of one kind."""

    def __init__(
        self,
        kind: CharsMode,
        stop: int | str,
        min_chars: int = 0,
        include_stop_in_answer: bool = False,
    ) -> None:
        super().__init__(CharsStrat(kind, stop, min=min_chars))
        self._keeps_stop = include_stop_in_answer

    def trim_answer(self, answer: str) -> str:
        return answer if self._keeps_stop else super().trim_answer(answer)
