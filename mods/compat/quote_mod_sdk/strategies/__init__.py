"""`quote_mod_sdk.strategies`: what the model may write for a while."""

from . import base, primitives, strategy_constructor
from .base import RuntimeState, Strategy
from .strategy_constructor import CharsMode, CharsStrat, ChoicesStrat, ListStrat, UntilStrat

__all__ = [
    "CharsMode",
    "CharsStrat",
    "ChoicesStrat",
    "ListStrat",
    "RuntimeState",
    "Strategy",
    "UntilStrat",
    "base",
    "primitives",
    "strategy_constructor",
]
