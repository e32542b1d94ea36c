"""`quote_mod_sdk.strategies.strategy_constructor`: the strategies as mods write them down."""

from mods.sdk.strategies import (
    CharsMode,
    CharsStrat,
    ChoicesStrat,
    ListStrat,
    Strategy,
    StrategyConstructor,
    UntilEndType,
    UntilStrat,
    strategy_constructor,
)

__all__ = [
    "CharsMode",
    "CharsStrat",
    "ChoicesStrat",
    "ListStrat",
    "Strategy",
    "StrategyConstructor",
    "UntilEndType",
    "UntilStrat",
    "strategy_constructor",
]
