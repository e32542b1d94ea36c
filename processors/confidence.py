"""How sure the model is of its next token, computed where the logits are.

Only a few numbers a row leave the device: entropy, and the likeliest tokens with their
probabilities. The row itself stays where it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from mods.runtime.decisions import Sureness
from mods.sdk.confidence import TOP
from processors.upload import to_device

_ROWS_AT_ONCE = 32
"""Bounds the memory that probabilities take: some 20 MB at 152k tokens."""


def sureness(logits: torch.Tensor, rows: Sequence[int]) -> list[Sureness]:
    """One for each of these rows of logits [any, vocabulary]. Waits until the device has them."""
    wanted = to_device({"rows": np.array(rows, dtype=np.int64)}, logits.device)["rows"]
    return [one for part in wanted.split(_ROWS_AT_ONCE) for one in _of_rows(logits, part)]


def _of_rows(logits: torch.Tensor, rows: torch.Tensor) -> list[Sureness]:
    scores = logits.index_select(0, rows).float()
    logprobs = torch.log_softmax(scores, dim=1)
    # A forbidden token has probability 0, whose share of the entropy is 0 and not a NaN.
    shares = torch.where(logprobs > float("-inf"), logprobs.exp() * logprobs, 0.0)
    entropy = (-shares.sum(1)).clamp(min=0)
    best, tokens = logprobs.topk(min(TOP, logits.shape[1]), dim=1)
    found = torch.cat([entropy[:, None].double(), best.double(), tokens.double()], dim=1).cpu()
    count = tokens.shape[1]
    return [_sureness(row[0], row[1 : 1 + count], row[1 + count :]) for row in found.tolist()]


def _sureness(entropy: float, logprobs: list[float], tokens: list[float]) -> Sureness:
    """Equal tokens in the order of their ids: a device gives them in any."""
    pairs = sorted(zip(tokens, logprobs, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return Sureness(entropy, [int(token) for token, _ in pairs], [score for _, score in pairs])
