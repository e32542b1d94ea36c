"""From what people write to a strategy."""

from __future__ import annotations

from enum import EnumMeta
from typing import Any, get_args

from mods.sdk.constraints import Constraint
from mods.sdk.strategies.choices import ChoicesStrat
from mods.sdk.strategies.constrained import ConstraintStrat
from mods.sdk.strategies.contract import StrategyConstructor
from mods.sdk.strategies.errors import StrategyError


def strategy_constructor(given: Any) -> StrategyConstructor:
    """A strategy from a strategy, a list of texts, one text, an enum of texts or a constraint.

        strategy_constructor(["yes", "no"])  # ChoicesStrat(["yes", "no"])

    Raises `StrategyError` for anything else.
    """
    if isinstance(given, EnumMeta):
        members: Any = given
        given = [member.value for member in members]
    if isinstance(given, str):
        return ChoicesStrat([given])
    if isinstance(given, (list, tuple)):
        return ChoicesStrat(given)
    if isinstance(given, get_args(Constraint)):
        return ConstraintStrat(given)
    if isinstance(given, StrategyConstructor) and not isinstance(given, type):
        return given
    raise StrategyError(
        "a strategy is one of ChoicesStrat, UntilStrat, CharsStrat and ListStrat, a list of texts,"
        f" a constraint, or an object with into_strategy(tokenizer); got {given!r:.100}"
    )
