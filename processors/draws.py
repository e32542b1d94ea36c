"""Draws that the processor makes itself, where vLLM would not draw or not at that temperature.

A greedy request never reaches vLLM's sampler, so a mod that asks for a temperature there gets
its draw here: Gumbel noise added, the largest taken, and the row left with that token alone.
The noise is a hash of who draws, where, and the token: the same on every device, never stored.
"""

from __future__ import annotations

import struct
from hashlib import blake2b

import torch

from processors.rows import Row

_ROWS_AT_ONCE = 16
"""Bounds the memory that noise takes: some 20 MB a tensor at 152k tokens."""
_MASK = 0xFFFFFFFF
_UPPER = 1.0 - 2.0**-24


def draw_key(row: Row) -> tuple[int, int]:
    """Two 32-bit numbers of the seed, the position, and what was taken back before it."""
    parts = (row.args.seed, row.args.erased, row.position)
    packed = struct.pack("<3Q", *(part & 0xFFFFFFFFFFFFFFFF for part in parts))
    one, other = struct.unpack("<2I", blake2b(packed, digest_size=8).digest())
    return one, other


def draw(
    logits: torch.Tensor, rows: torch.Tensor, keys: torch.Tensor, temperatures: torch.Tensor
) -> None:
    """Leave each of these rows of logits [any, vocabulary] with the one token drawn from it.

    rows: int64 [k]. keys: int64 [k, 2], of `draw_key`. temperatures: float32 [k], above 0.
    """
    for part, key, temperature in zip(
        rows.split(_ROWS_AT_ONCE),
        keys.split(_ROWS_AT_ONCE),
        temperatures.split(_ROWS_AT_ONCE),
        strict=True,
    ):
        scores = logits.index_select(0, part) / temperature[:, None]
        scores += gumbel(key, logits.shape[1])
        keep_one(logits, part, scores.argmax(1))


def take_likeliest(logits: torch.Tensor, rows: torch.Tensor) -> None:
    """Leave each of these rows with its largest token. rows: int64 [k]."""
    keep_one(logits, rows, logits.index_select(0, rows).argmax(1))


def keep_one(logits: torch.Tensor, rows: torch.Tensor, tokens: torch.Tensor) -> None:
    """Make these tokens [k] the only ones that can be drawn in these rows [k], in place."""
    logits.index_fill_(0, rows, float("-inf"))
    logits.index_put_((rows, tokens), logits.new_zeros(()))


def gumbel(keys: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Gumbel noise, float32 [k, vocabulary]. keys: int64 [k, 2], each below 2**32."""
    tokens = torch.arange(vocabulary, dtype=torch.int64, device=keys.device)
    hashed = _scramble((_scramble(tokens ^ keys[:, :1]) + keys[:, 1:]) & _MASK)
    uniform = ((hashed.float() + 0.5) * 2.0**-32).clamp_(max=_UPPER)
    # log1p keeps the full resolution where it matters, at the winning end.
    return -torch.log(-torch.log1p(-uniform))


def _scramble(word: torch.Tensor) -> torch.Tensor:
    """A bijection of 32-bit words in which every bit depends on every bit."""
    word = ((word ^ (word >> 16)) * 0x7FEB352D) & _MASK
    word = ((word ^ (word >> 15)) * 0x846CA68B) & _MASK
    return word ^ (word >> 16)
