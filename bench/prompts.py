"""Prompts that were never asked before: one that comes again is in the prefix cache.

A prompt is token ids drawn at random, so that its length is exact under any tokenizer.
"""

from __future__ import annotations

import random

SHORT = 8
"""Tokens of a prompt where prompts are not the point: less than a block of the cache."""


class Prompts:
    """Fresh ones, the same in every run with this seed. vocabulary: the model's, in tokens."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        self._random = random.Random(seed)
        # Special tokens have the lowest ids, bytes the next.
        self._lowest, self._end = vocabulary // 4, vocabulary

    def fresh(self, length: int = SHORT) -> list[int]:
        """`length` token ids."""
        return [self._random.randrange(self._lowest, self._end) for _ in range(length)]
