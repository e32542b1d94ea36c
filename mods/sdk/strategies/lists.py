"""Several texts with something around and between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mods.sdk.strategies.chars import CharsStrat
from mods.sdk.strategies.description import Description
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.patterns import EMPTY, Pattern, either, literal, repeat, sequence

_TEXTS = ("open", "close", "wrap", "sep", "end_with")


@dataclass(frozen=True)
class ListStrat(Description):
    """A list: `open`, elements with `sep` between them, `close`, and `end_with` behind it all.

        ListStrat(CharsStrat(CharsMode.NUMERIC, stop=3, min=1), open="[", close="]", max=5)
        ListStrat([ChoicesStrat(["red", "green"]), ListStrat(ChoicesStrat(["a", "b"]))], sep=": ")

    elements: one strategy for all elements, or a list of them: then each comes once, in order, and
    min and max are ignored. Whatever `strategy_constructor` takes will do, lists of lists too.
    wrap: what stands before and behind each element. An element that stops with the very text of
    `wrap` is closed by its stop. sep: ", " if not given. min, max: how many elements, without
    bound where max is None. Raises `StrategyError` where that leaves no text.
    """

    elements: Any
    open: str | None = None
    close: str | None = None
    wrap: str | None = None
    sep: str | None = None
    min: int | None = None
    max: int | None = None
    end_with: str | None = None

    def __post_init__(self) -> None:
        from mods.sdk.strategies.constructor import strategy_constructor

        object.__setattr__(self, "sep", ", " if self.sep is None else self.sep)
        for name in _TEXTS:
            if not isinstance(getattr(self, name) or "", str):
                raise StrategyError(f"ListStrat: {name} is a text, got {getattr(self, name)!r}")
        if isinstance(self.elements, (list, tuple)):
            made: Any = tuple(map(strategy_constructor, self.elements))
            object.__setattr__(self, "min", len(made))
            object.__setattr__(self, "max", len(made))
        else:
            made = strategy_constructor(self.elements)
        object.__setattr__(self, "elements", made)
        self._describe(self._pattern())

    def _pattern(self) -> Pattern:
        low, high = self.min or 0, self.max
        if low < 0 or (high is not None and high < low):
            raise StrategyError(f"{self}: no text satisfies this, min is {low} and max is {high}")
        inner = self._fixed() if isinstance(self.elements, tuple) else self._repeated(low, high)
        return sequence(
            literal(self.open or ""), inner, literal(self.close or ""), literal(self.end_with or "")
        )

    def _fixed(self) -> Pattern:
        parts: list[Pattern] = []
        for element in self.elements:
            parts += [literal(self.sep or ""), self._wrapped(element)]
        return sequence(*parts[1:])

    def _repeated(self, low: int, high: int | None) -> Pattern:
        one = self._wrapped(self.elements)
        if high == 0:
            return EMPTY
        more = repeat(
            sequence(literal(self.sep or ""), one),
            max(low - 1, 0),
            None if high is None else high - 1,
        )
        some = sequence(one, more)
        return some if low else either((EMPTY, some))

    def _wrapped(self, element: Any) -> Pattern:
        pattern = getattr(element, "pattern", None)
        if not isinstance(pattern, Pattern):
            raise StrategyError(
                "ListStrat takes elements of the strategies that come with the SDK,"
                f" got {element!r:.80}"
            )
        wrap = literal(self.wrap or "")
        if isinstance(element, CharsStrat) and self.wrap and element.stop == self.wrap:
            return sequence(wrap, pattern)
        return sequence(wrap, pattern, wrap)
