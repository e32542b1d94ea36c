"""How sure the model is of its next token: a few numbers about one row of logits.

They are computed where the logits are, so that a mod which asks costs no copy of the row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOP = 8
"""Likeliest tokens that are told of."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Of the model's own distribution, at temperature 1, before any mod's shape.

    entropy: in nats; 0 is certain, log(vocabulary) is no idea. logprobs: of the `TOP` likeliest
    tokens, likeliest first.
    """

    entropy: float
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]

    @classmethod
    def of_row(cls, row: NDArray[np.floating]) -> Confidence:
        """From logits of any shape that holds one row."""
        scores = np.asarray(row, dtype=np.float64).reshape(-1)
        peak = float(scores.max())
        logprobs = scores - peak - math.log(float(np.exp(scores - peak).sum()))
        finite = logprobs[logprobs > -np.inf]
        count = min(TOP, len(scores))
        best = np.argpartition(-logprobs, count - 1)[:count]
        ordered = sorted((int(token) for token in best), key=lambda at: (-logprobs[at], at))
        entropy = max(0.0, -float((np.exp(finite) * finite).sum()))
        return cls(entropy, tuple(ordered), tuple(float(logprobs[at]) for at in ordered))

    @property
    def margin(self) -> float:
        """How much likelier the best token is than the second: a difference of probabilities."""
        first, second = (*self.top(2), (0, 0.0))[:2]
        return first[1] - second[1]

    def top(self, k: int = 1) -> Sequence[tuple[int, float]]:
        """The k likeliest tokens as (token id, probability), likeliest first.

        Raises ValueError for a k below 1 or above `TOP`.
        """
        if not 1 <= k <= TOP:
            raise ValueError(
                f"top({k}): k is 1 to {TOP}; for more read the whole row: event.top_k_logprob({k})"
            )
        pairs = zip(self.tokens[:k], self.logprobs[:k], strict=True)
        return [(token, math.exp(logprob)) for token, logprob in pairs]
