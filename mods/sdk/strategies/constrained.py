"""Any constraint where a strategy is asked for: a JSON schema, a regular expression, a grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mods.sdk.constraints import Constraint
from mods.sdk.strategies.contract import Strategy
from mods.sdk.strategies.errors import StrategyError


@dataclass(frozen=True)
class ConstraintStrat:
    """What a constraint allows. It has no token form: the engine must hold it."""

    held: Constraint

    def constraint(self) -> Constraint:
        return self.held

    def trim_answer(self, answer: str) -> str:
        """The answer as it is."""
        return answer

    def into_strategy(self, tokenizer: Any) -> Strategy:
        """Raises `StrategyError`."""
        raise StrategyError(
            f"a {type(self.held).__name__} constraint has no token form; use actions.constrain"
        )
