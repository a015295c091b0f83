"""Bootstrap intervals of means over latents.

References:
    | Efron, Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile intervals, chapter 13)
"""

from __future__ import annotations

__all__ = ["Interval", "mean_interval"]

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the ends of its interval; all three are NaN when there was nothing to average."""

    mean: float
    low: float
    high: float


def mean_interval(values: NDArray[np.float64], *, resamples: int, seed: int, level: float = 0.95) -> Interval:
    """The mean over all values and its percentile interval, resampling latents.

    Arguments:
        values: ``[N]`` or ``[N, M]``, one row per latent; NaN marks what could not be measured. The values of
            one latent depend on each other, so a resample takes or leaves them together.
        resamples: number of bootstrap resamples.
        seed: equal seeds give equal intervals.
        level: coverage of the interval.
    """
    rows = np.asarray(values, np.float64).reshape(len(values), -1)
    known = ~np.isnan(rows)
    sums, counts = np.where(known, rows, 0).sum(axis=1), known.sum(axis=1).astype(np.float64)
    if counts.sum() == 0:
        return Interval(np.nan, np.nan, np.nan)
    drawn = _draws(len(rows), resamples, seed)  # one matrix product makes all the resampled means
    measured = drawn @ counts
    means = (drawn @ sums)[measured > 0] / measured[measured > 0]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


@lru_cache(maxsize=1)
def _draws(count: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each latent is in each resample, ``[resamples, count]``: the same for every metric."""
    shares = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, shares, size=resamples).astype(np.float64)
