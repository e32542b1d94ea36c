"""What a session may spend: tokens forwarded, and forced runs without a forward pass."""

from __future__ import annotations

from mods.sdk.errors import BudgetExceededError

MAX_FORCED_RUNS = 64
"""Forced runs in a row without a forward pass; one more is an error."""


class Budget:
    """Counts both, and raises `BudgetExceededError`."""

    def __init__(self) -> None:
        self.spent = 0
        """Tokens forwarded so far: drawn, forced, and one for every new segment."""
        self._runs = 0

    def forward_pass(self) -> None:
        """Forced runs are counted anew."""
        self._runs = 0

    def run(self) -> None:
        """A mod forces a run."""
        self._runs += 1
        if self._runs > MAX_FORCED_RUNS:
            raise BudgetExceededError(
                f"more than {MAX_FORCED_RUNS} forced runs in a row without a forward pass"
            )

    def spend(self, tokens: int, max_tokens: int) -> None:
        """Tokens are forwarded; 4 * max_tokens + 1,024 are allowed."""
        self.spent += tokens
        budget = 4 * max_tokens + 1024
        if self.spent > budget:
            raise BudgetExceededError(
                f"the session forwarded {self.spent} tokens; with max_tokens {max_tokens} its"
                f" budget is {budget}"
            )
