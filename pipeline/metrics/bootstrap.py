"""Bootstrap intervals of means over latents, and over trainings.

References:
    | Efron, Tibshirani, "An Introduction to the Bootstrap", 1993 (percentile intervals, chapter 13)
"""

from __future__ import annotations

__all__ = ["Interval", "difference_interval", "mean_interval", "pooled_interval"]

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Members = Sequence[NDArray[np.float64]]


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
    return pooled_interval([values], resamples=resamples, seed=seed, level=level)


def pooled_interval(members: Members, *, resamples: int, seed: int, level: float = 0.95) -> Interval:
    """The mean over several trainings of one editor and its interval, resampling trainings and latents.

    Arguments:
        members: for each training the values of the same latents, as for :func:`mean_interval`.
        resamples: number of bootstrap resamples.
        seed: equal seeds give equal intervals.
        level: coverage of the interval.
    """
    mean, means = _means(members, resamples, seed)
    return _interval(mean, means, level)


def difference_interval(
    ours: Members, theirs: Members, *, resamples: int, seed: int, level: float = 0.95
) -> Interval:
    """The mean of ``ours`` minus that of ``theirs``: a resample takes the same latents of both.

    That is sharper than to compare two intervals, since a latent that is hard for one editor is hard for the
    other.
    """
    (our_mean, our_means), (their_mean, their_means) = (_means(m, resamples, seed) for m in (ours, theirs))
    return _interval(our_mean - their_mean, our_means - their_means, level)


def _means(members: Members, resamples: int, seed: int) -> tuple[float, NDArray[np.float64]]:
    """The mean, and the mean of each resample, NaN where it had nothing to average."""
    rows = np.stack([np.asarray(values, np.float64).reshape(len(values), -1) for values in members])
    known = ~np.isnan(rows)
    sums, counts = np.where(known, rows, 0).sum(axis=2), known.sum(axis=2).astype(np.float64)  # [S, N]
    if counts.sum() == 0:
        return np.nan, np.full(resamples, np.nan)
    drawn = _draws(rows.shape[1], resamples, seed)  # one matrix product makes all the resampled means
    times = _draws(len(rows), resamples, seed + 1) if len(rows) > 1 else np.ones((resamples, 1))
    total, measured = ((times * (drawn @ values.T)).sum(axis=1) for values in (sums, counts))
    means = np.divide(total, measured, out=np.full(resamples, np.nan), where=measured > 0)
    return float(sums.sum() / counts.sum()), means


def _interval(mean: float, means: NDArray[np.float64], level: float) -> Interval:
    means = means[~np.isnan(means)]
    if not len(means):
        return Interval(mean, np.nan, np.nan)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean, float(low), float(high))


@lru_cache(maxsize=4)
def _draws(count: int, resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each of ``count`` is in each resample, ``[resamples, count]``: the same for every metric."""
    shares = np.full(count, 1 / count)
    return np.random.default_rng(seed).multinomial(count, shares, size=resamples).astype(np.float64)
