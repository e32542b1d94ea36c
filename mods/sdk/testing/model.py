"""A model of no size: the next token's logits are a function of the context, and of nothing else.

A draw is as repeatable as the logits, at any temperature: the same context and the same shape
give the same token, in whatever segment it is drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mods.sdk.testing.tokenizer import EOS, VOCABULARY

Row = NDArray[np.float32]
"""float32, shape [vocabulary]."""


class Model(Protocol):
    """Logits from a context (the prompt and all output so far)."""

    def logits(self, context: Sequence[int]) -> Row: ...


class HashModel:
    """Draws from a small alphabet, by a hash of the context; at times it ends."""

    def __init__(self, alphabet: str = "abcdé ", eos_bonus: float = -0.5, seed: int = 0) -> None:
        self._alphabet = sorted(set(alphabet.encode()))
        self._eos_bonus = eos_bonus
        self._seed = seed

    def logits(self, context: Sequence[int]) -> Row:
        """float32 [vocabulary]."""
        key = crc32(np.asarray(context, dtype=np.int64).tobytes(), self._seed)
        noise = np.random.default_rng(key).standard_normal(VOCABULARY, dtype=np.float32)
        row = noise - np.float32(20)
        row[self._alphabet] += 20
        row[EOS] += 20 + self._eos_bonus
        return row


class TextModel:
    """Writes one text, whatever happens: output token number i is the text's byte i, then eos.

    prompt_length: how many tokens of a context are not output.
    """

    def __init__(self, text: str, prompt_length: int) -> None:
        self.text = text
        self._tokens = [*text.encode(), EOS]
        self._prompt_length = prompt_length

    def logits(self, context: Sequence[int]) -> Row:
        """float32 [vocabulary], with one clear favourite."""
        row = np.zeros(VOCABULARY, dtype=np.float32)
        at = len(context) - self._prompt_length
        row[self._tokens[min(at, len(self._tokens) - 1)]] = 10
        return row


def draw(
    row: Row,
    context: Sequence[int],
    *,
    bias: Mapping[int, float],
    ban: Collection[int] = (),
    allow: Collection[int] | None = None,
    temperature: float | None = None,
) -> int:
    """One token from a row; `ban` must name the sentinel. No temperature, or 0, is greedy."""
    row = row.astype(np.float32, copy=True)
    for token, amount in bias.items():
        row[token] += amount
    if allow is not None:
        kept = row[sorted(allow)]
        row[:] = -np.inf
        row[sorted(allow)] = kept
    row[sorted(ban)] = -np.inf
    if temperature:
        key = crc32(np.asarray(context, dtype=np.int64).tobytes(), 1)
        row = row / np.float32(temperature)
        noise = np.asarray(np.random.default_rng(key).gumbel(size=row.shape[0]), dtype=np.float32)
        row = row + noise
    return int(row.argmax())
