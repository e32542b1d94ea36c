"""From rounds to a number: the median, its 95% interval, and ratios of two sides by rounds.

Absolute times depend on the machine and on its neighbours; ratios of two sides that were measured
in turn do so much less.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
DIGITS = 4

Middle = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From samples [resamples, values] to one number each."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95% interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        return {name: round(number, DIGITS) for name, number in asdict(self).items()}


def median_of(values: Sequence[float]) -> Estimate:
    """The median of the rounds' values."""
    return Estimate(statistics.median(values), *bootstrap(values, medians))


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean, where each value stands for a different case and all count alike."""
    return Estimate(statistics.fmean(values), *bootstrap(values, means))


def ratio_of(pairs: Iterable[tuple[float, float]]) -> Estimate:
    """The median of second / first over pairs, one pair a round."""
    return median_of([second / first for first, second in pairs])


def percentile_of(values: Sequence[float], percent: float) -> Estimate:
    """So many percent of the values are at most this."""

    def middle(samples: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.percentile(samples, percent, axis=1))

    return Estimate(float(np.percentile(values, percent)), *bootstrap(values, middle))


def medians(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(samples, axis=1))


def means(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.mean(samples, axis=1))


def bootstrap(values: Sequence[float], middle: Middle, seed: int = 1) -> tuple[float, float]:
    """The 95% interval of a middle, from resampling the values with replacement."""
    draws = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = np.percentile(middle(draws), [2.5, 97.5])
    return float(low), float(high)
