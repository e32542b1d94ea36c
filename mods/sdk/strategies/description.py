"""What the four kinds of strategy share: a pattern, and everything that follows from it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from mods.sdk.constraints import Constraint, Lark
from mods.sdk.strategies.bound import BoundStrategy
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.lark import lark
from mods.sdk.strategies.patterns import EMPTY, NOTHING, Literal, Pattern, accepts

_SHOWN = 200
"""Characters by which a message names a strategy."""


class Description:
    """The texts that are wanted, whatever the tokenizer. A subclass says its `pattern` once."""

    pattern: Pattern
    """The texts as a regular set."""
    options: tuple[Literal, ...] = ()
    """Texts of which each must be possible."""
    ends_itself: bool = False
    """Whether it is known that no text goes on to another: no end of sequence is needed."""

    def into_strategy(self, tokenizer: Any) -> BoundStrategy:
        """The token form. Raises `StrategyError` where the tokenizer cannot spell the text."""
        return BoundStrategy(self, tokenizer)

    def constraint(self) -> Constraint:
        """The same texts as a constraint, for `actions.constrain` or any grammar engine."""
        return self._constraint

    @cached_property
    def _constraint(self) -> Constraint:
        """Written once: a mod asks for it with every request."""
        return Lark(lark(self.pattern))

    def matches(self, text: str) -> bool:
        """Whether a whole text is one of those wanted."""
        return accepts(self.pattern, text.encode(errors="surrogatepass"))

    def trim_answer(self, answer: str) -> str:
        """The text without what only ended it."""
        return answer

    def __str__(self) -> str:
        shown = repr(self)
        return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"

    def _describe(self, pattern: Pattern) -> None:
        """Keep the pattern. Raises `StrategyError` for one that leaves nothing to write."""
        if pattern == NOTHING:
            raise StrategyError(f"{self}: no text satisfies this")
        if pattern == EMPTY:
            raise StrategyError(f"{self}: only the empty text satisfies this, so nothing is asked")
        object.__setattr__(self, "pattern", pattern)
