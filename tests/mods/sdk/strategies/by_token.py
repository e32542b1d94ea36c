"""A strategy that no engine can hold: its token form alone."""

from __future__ import annotations

from typing import Any


class ByToken:
    """Hides everything of a strategy but `into_strategy`."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def into_strategy(self, tokenizer: Any) -> Any:
        return self.inner.into_strategy(tokenizer)
