"""One of a few texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from mods.sdk.constraints import Choice, Constraint
from mods.sdk.strategies.description import Description
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.patterns import Literal, either

_WRITTEN_OUT = 20_000
"""Characters of all choices up to which they are written as a pattern, like other strategies:
that takes up to ten times as many bytes, of which a constraint may have 256 KiB."""


@dataclass(frozen=True)
class ChoicesStrat(Description):
    """One of these texts.

        ChoicesStrat(["yes", "no", "not yet"])

    A choice may begin with another: after "no" the model either goes on to "not yet" or ends.
    choices: kept once each. Raises `StrategyError` without any, or for what is no text.
    """

    choices: Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.choices, str) or not all(isinstance(each, str) for each in self.choices):
            raise StrategyError(f"ChoicesStrat takes a list of texts, got {self.choices!r:.100}")
        object.__setattr__(self, "choices", tuple(dict.fromkeys(self.choices)))
        ordered = sorted(self.choices)
        goes_on = any(other.startswith(one) for one, other in pairwise(ordered))
        object.__setattr__(self, "ends_itself", not goes_on)
        object.__setattr__(self, "options", tuple(Literal(each.encode()) for each in self.choices))
        self._describe(either(self.options))

    @cached_property
    def _constraint(self) -> Constraint:
        if sum(map(len, self.choices)) <= _WRITTEN_OUT:
            return super()._constraint
        return Choice(tuple(self.choices))
