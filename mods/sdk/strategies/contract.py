"""What a strategy is to those who use it, and what people who write their own have to offer.

A *constructor* describes the texts that are wanted; it knows no tokenizer. `into_strategy` binds
it to one, and the *strategy* that comes of it says, step by step, which tokens may come.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from mods.sdk.constraints import Constraint


class RuntimeState(Protocol):
    """One output's place in a strategy. What it holds is the strategy's own affair."""


@runtime_checkable
class Strategy(Protocol):
    """Which tokens may come, one after the other, over token ids of one tokenizer."""

    def start(self, tokenizer: Any = None) -> Any:
        """A fresh state."""

    def allowed_tokens(self, state: Any, tokenizer: Any = None) -> set[int]:
        """The tokens that may come next; the end of sequence where the text may end here.

        Empty where nothing is left to say. A strategy of your own may leave it empty, and name
        only what is disallowed.
        """

    def disallowed_tokens(self, state: Any, tokenizer: Any = None) -> set[int]:
        """Tokens that may not come next, whatever else is allowed."""

    def step(self, state: Any, token_id: int, tokenizer: Any = None) -> Any:
        """Take a token in."""

    def is_complete(self, state: Any) -> bool:
        """Whether the text is whole and nothing may follow."""

    def trim_answer(self, answer: str) -> str:
        """The text without what only ended it."""


@runtime_checkable
class StrategyConstructor(Protocol):
    """Whatever can become a strategy. Subclass it to write a kind of your own."""

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """The strategy over a tokenizer's tokens."""


@runtime_checkable
class Compiled(Protocol):
    """A constructor that can say what it is as a constraint, and so costs no Python per token."""

    def constraint(self) -> Constraint:
        """The same texts, as data."""
