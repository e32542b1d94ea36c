"""Characters of one kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from mods.sdk.strategies.characters import ANY, DIGITS, CharacterSet, letters
from mods.sdk.strategies.description import Description
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.patterns import (
    EMPTY,
    Pattern,
    chars,
    either,
    literal,
    repeat,
    sequence,
    up_to,
)


class CharsMode(Enum):
    """Which characters a `CharsStrat` writes.

    ALPHA: letters of any script. NUMERIC: 0 to 9. ALPHANUMERIC: both. STRING: anything but a
    double quote; a backslash takes the next character with it, a double quote too, and the two
    count as one. JS_FLOAT: a number as JSON writes it, which needs a text as its stop.
    """

    ALPHA = auto()
    ALPHANUMERIC = auto()
    NUMERIC = auto()
    STRING = auto()
    JS_FLOAT = auto()


@dataclass(frozen=True)
class CharsStrat(Description):
    """Characters of one kind, up to a number of them or up to a stop.

        CharsStrat(CharsMode.NUMERIC, stop=4, min=4)
        CharsStrat(CharsMode.STRING, stop="\\n")

    stop: a number is how many characters there are at most; a text ends it, at the first place
    with at least `min` characters before it. min: how many there are at least. The stop is written,
    and `trim_answer` takes it off. Raises `StrategyError` where min and stop leave no text.
    """

    mode: CharsMode
    stop: int | str
    min: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "min", self.min or 0)
        if not isinstance(self.mode, CharsMode):
            raise StrategyError(f"CharsStrat: mode is a CharsMode, got {self.mode!r}")
        if type(self.min) is not int or self.min < 0:
            raise StrategyError(f"{self}: min is a whole number, 0 or more")
        if type(self.stop) is not int and not (isinstance(self.stop, str) and self.stop):
            raise StrategyError(f"{self}: stop is a number of characters or a text")
        self._describe(self._pattern())

    @property
    def ends_itself(self) -> bool:  # type: ignore[override]
        return isinstance(self.stop, str) or self.min == self.stop

    def trim_answer(self, answer: str) -> str:
        if isinstance(self.stop, str) and answer.endswith(self.stop):
            return answer[: -len(self.stop)]
        return answer

    def _pattern(self) -> Pattern:
        if self.mode is CharsMode.JS_FLOAT:
            return self._float()
        if isinstance(self.stop, int):
            return repeat(self._one(), self.min, self.stop)
        return sequence(repeat(self._one(), self.min, self.min), up_to(self._one(), self.stop))

    def _one(self) -> Pattern:
        """One character of the mode."""
        if self.mode is CharsMode.STRING:
            plain = ANY - CharacterSet.of('"\\')
            return either((chars(plain), sequence(literal("\\"), chars(ANY))))
        return chars(_SETS[self.mode]())

    def _float(self) -> Pattern:
        if not isinstance(self.stop, str) or self.stop[0] in "0123456789.eE" or self.min > 1:
            raise StrategyError(
                f"{self}: JS_FLOAT takes a text as stop that no number goes on with"
            )
        digits = repeat(chars(DIGITS), 1)
        whole = either(
            (literal("0"), sequence(chars(CharacterSet.of("123456789")), repeat(chars(DIGITS))))
        )
        sign = either((EMPTY, chars(CharacterSet.of("+-"))))
        return sequence(
            either((EMPTY, literal("-"))),
            whole,
            either((EMPTY, sequence(literal("."), digits))),
            either((EMPTY, sequence(chars(CharacterSet.of("eE")), sign, digits))),
            literal(self.stop),
        )


_SETS: dict[CharsMode, Callable[[], CharacterSet]] = {
    CharsMode.ALPHA: letters,
    CharsMode.ALPHANUMERIC: lambda: letters() | DIGITS,
    CharsMode.NUMERIC: lambda: DIGITS,
}
