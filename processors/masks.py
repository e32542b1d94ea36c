"""Constraints' bit masks laid over logits, for all of a step's rows at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

_NEVER = float("-inf")
_CEILINGS = np.where(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"),
    np.float32("inf"),
    np.float32("-inf"),
)
"""By one byte of a mask, the highest that the logits of its eight tokens may be: [256, 8]."""


def lay(
    logits: torch.Tensor, rows: torch.Tensor, words: torch.Tensor, fallback: torch.Tensor
) -> None:
    """Forbid what a mask forbids, in place, in logits [any, vocabulary].

    rows: int64 [k]. words: int32 [k, at least vocabulary / 32], bit i % 32 of word i // 32 set
    where token i may come. fallback: int64 [k], the token left in a row that would have none.
    """
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        seen = logits.numpy()
        for row, mask, token in zip(rows.tolist(), words.numpy(), fallback.tolist(), strict=True):
            _lay_row(seen[row], mask, token)
    else:
        _lay_rows(logits, rows, words, fallback)


def _lay_row(row: NDArray[np.float32], mask: NDArray[np.int32], fallback: int) -> None:
    """On the CPU: a look-up of eight tokens' ceilings at a time, then one minimum over the row."""
    ceilings = _CEILINGS.take(mask.view(np.uint8), axis=0).reshape(-1)[: row.shape[0]]
    np.minimum(row, ceilings, out=row)
    if row.max() == _NEVER:
        row[fallback] = 0.0


def _lay_rows(
    logits: torch.Tensor, rows: torch.Tensor, words: torch.Tensor, fallback: torch.Tensor
) -> None:
    """On a device: nothing here waits for it."""
    places = torch.arange(32, dtype=torch.int32, device=words.device)
    bits = ((words[:, :, None] >> places) & 1).reshape(words.shape[0], -1)
    masked = logits.index_select(0, rows)
    masked.masked_fill_(bits[:, : logits.shape[1]] == 0, _NEVER)
    empty = masked.amax(1) == _NEVER
    chosen = masked.gather(1, fallback[:, None])
    masked.scatter_(1, fallback[:, None], chosen.masked_fill(empty[:, None], 0.0))
    logits.index_copy_(0, rows, masked)
