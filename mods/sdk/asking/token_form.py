"""An answer that the engine cannot hold to its strategy: tokens are allowed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mods.sdk.actions import Action, ActionBuilder, AdjustedLogits, Backtrack, ForceTokens
from mods.sdk.asking.texts import ends_of
from mods.sdk.strategies.contract import StrategyConstructor

MAX_OWN_ACTIONS = 3
"""Actions that the `step` of a strategy of one's own may ask for in one answer."""


class TokenForm:
    """A strategy that the engine cannot hold: asked for its tokens before every draw."""

    def __init__(self, constructor: StrategyConstructor, tokenizer: Any) -> None:
        self._tokenizer, self._ends = tokenizer, ends_of(tokenizer)
        self._strategy = constructor.into_strategy(tokenizer)
        self._state = self._strategy.start(tokenizer)
        self._own_actions = 0

    @property
    def complete(self) -> bool:
        return bool(self._strategy.is_complete(self._state))

    def trim_answer(self, answer: str) -> str:
        return self._strategy.trim_answer(answer)

    def shape(self, actions: ActionBuilder) -> AdjustedLogits:
        """Only what may come next."""
        banned = set(self._strategy.disallowed_tokens(self._state, self._tokenizer))
        allowed = set(self._strategy.allowed_tokens(self._state, self._tokenizer)) - banned
        return actions.allow(allowed) if allowed else actions.ban(banned)

    def step(self, tokens: Sequence[int], said: list[int]) -> Action | None:
        """Take tokens in. What the strategy itself asks for, a few times at most, is returned."""
        wanted: Action | None = None
        for token in tokens:
            if token not in self._ends:
                asked = self._strategy.step(self._state, int(token), self._tokenizer)
                wanted = asked if isinstance(asked, (Backtrack, ForceTokens)) else wanted
        if wanted is None or self._own_actions >= MAX_OWN_ACTIONS:
            return None
        self._own_actions += 1
        if isinstance(wanted, Backtrack):
            del said[-wanted.n :]
        return wanted
