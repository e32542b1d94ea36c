"""Free text up to an end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mods.sdk.strategies.characters import ANY, CharacterSet
from mods.sdk.strategies.description import Description
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.patterns import Pattern, chars, literal, repeat, sequence, up_to


class UntilEndType(Enum):
    """What ends an `UntilStrat`: a whole text, any of several characters, or a line's end."""

    TAG = auto()
    ANYCHAR = auto()
    NEWLINE = auto()


@dataclass(frozen=True)
class UntilStrat(Description):
    """Any text up to an end, the end included.

        UntilStrat("<ask>", UntilEndType.TAG, "</ask>")
        UntilStrat("", UntilEndType.ANYCHAR, ".!?")
        UntilStrat("", UntilEndType.NEWLINE)

    start: what the text begins with. end: the tag, or the characters of which the first one ends
    it. The text ends at the first place where the end is whole. Raises `StrategyError` where there
    is nothing that could end it.
    """

    ends_itself = True

    start: str | None = None
    end_type: UntilEndType = UntilEndType.NEWLINE
    end: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.end_type, UntilEndType):
            raise StrategyError(f"UntilStrat: end_type is an UntilEndType, got {self.end_type!r}")
        object.__setattr__(self, "start", self.start or "")
        if self.end_type is UntilEndType.NEWLINE:
            object.__setattr__(self, "end", self.end or "\n")
        if not isinstance(self.start, str) or not isinstance(self.end, str) or not self.end:
            raise StrategyError(f"{self}: start is a text, and end is one of at least a character")
        self._describe(sequence(literal(self.start), self._free(self.end)))

    def _free(self, end: str) -> Pattern:
        if self.end_type is UntilEndType.TAG:
            return up_to(chars(ANY), end)
        if self.end_type is UntilEndType.NEWLINE and end != "\n":
            raise StrategyError(f"{self}: NEWLINE ends at '\\n'; use TAG or ANYCHAR for {end!r}")
        ends = CharacterSet.of(end)
        return sequence(repeat(chars(ANY - ends)), chars(ends))
