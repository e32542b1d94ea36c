"""What is wrong with a strategy: it can never be kept, or it was not kept."""

from __future__ import annotations


class StrategyError(ValueError):
    """A strategy that no text satisfies or no tokens can spell, or a token that breaks one.

    The message names the strategy.
    """
