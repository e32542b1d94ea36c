"""Strategies: what the model may write for a while, said in plain words and held by the engine.

A strategy describes texts. `actions.constrain(strategy)` lets the engine hold it, at the price of
a mask and no Python for each token; `into_strategy(tokenizer)` gives the same as sets of tokens.
"""

from mods.sdk.strategies.bound import BoundStrategy
from mods.sdk.strategies.chars import CharsMode, CharsStrat
from mods.sdk.strategies.choices import ChoicesStrat
from mods.sdk.strategies.constrained import ConstraintStrat
from mods.sdk.strategies.constructor import strategy_constructor
from mods.sdk.strategies.contract import RuntimeState, Strategy, StrategyConstructor
from mods.sdk.strategies.errors import StrategyError
from mods.sdk.strategies.lists import ListStrat
from mods.sdk.strategies.until import UntilEndType, UntilStrat

__all__ = [
    "BoundStrategy",
    "CharsMode",
    "CharsStrat",
    "ChoicesStrat",
    "ConstraintStrat",
    "ListStrat",
    "RuntimeState",
    "Strategy",
    "StrategyConstructor",
    "StrategyError",
    "UntilEndType",
    "UntilStrat",
    "strategy_constructor",
]
