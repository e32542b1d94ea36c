"""What tokens read as one by one, for those who look at them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

PART = "\ufffd"
"""Stands for a part of a character."""


class TokenPieces:
    """What each token of a Hugging-Face-like tokenizer adds to a text.

    Each is decoded once: as many are kept as the tokenizer has.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of(self, tokens: Sequence[int]) -> list[str]:
        """A part of a character reads as `PART`, an id that the tokenizer lacks as nothing."""
        size, known = self._size, self._known
        return [
            "" if token >= size else known[token] if token in known else self._decode(token)
            for token in tokens
        ]

    @cached_property
    def _size(self) -> int:
        return len(self._tokenizer)

    @cached_property
    def _before(self) -> tuple[list[int], str]:
        """A token to decode behind, and its text: some tokenizers drop a text's first space."""
        before: list[int] = self._tokenizer.encode("a", add_special_tokens=False)[:1]
        return before, self._tokenizer.decode(before)

    def _decode(self, token: int) -> str:
        before, start = self._before
        whole: str = self._tokenizer.decode([*before, token])
        alone = not whole.startswith(start)
        text: str = self._tokenizer.decode([token]) if alone else whole[len(start) :]
        self._known[token] = text
        return text
