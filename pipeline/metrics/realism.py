"""Do edited images, and the style vectors behind them, still look like the ones that were never edited?

Two sets of features are compared as distributions, by their Gaussians (Fréchet distance) or without any
assumption (kernel distance); single style vectors are held against the training split (Mahalanobis distance).
Features are rows ``[N, D]`` of any network; the names of published numbers, FID and KID, are for Inception's.

References:
    | Heusel et al., "GANs trained by a two time-scale update rule", arXiv 1706.08500 (Fréchet distance)
    | Bińkowski, Sutherland, Arbel, Gretton, "Demystifying MMD GANs", arXiv 1801.01401 (kernel distance)
    | Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004
"""

from __future__ import annotations

__all__ = ["Mahalanobis", "frechet_distance", "kernel_distance"]

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import PipelineError

Floats = NDArray[np.float64]

BLOCK = 1024
"""Rows of a block of the kernel matrix: 8 MiB, whatever the number of features."""

FLOOR = 1e-9
"""The least share of the mean in a shrunk covariance: rows that repeat each other need it to be inverted."""


def frechet_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Squared Fréchet distance of the Gaussians of two sets, at least 0: ``|μ-μ'|² + tr(C + C' - 2(CC')^½)``.

    With centred features ``A`` and ``B``, of which ``C = AᵀA`` and ``C' = BᵀB``, the trace of the root is the
    sum of the singular values of ``ABᵀ``. No root of a matrix is needed, and fewer rows than features do no
    harm to the arithmetic. They do to the estimate, whose bias falls with the number of rows: compare only
    numbers of equally many.

    Arguments:
        features_a: ``[N, D]``, two rows or more.
        features_b: ``[M, D]``, two rows or more.

    Raises:
        PipelineError: for sets that do not compare.
    """
    a, b = _features(features_a, features_b)
    root_a, root_b = _root_covariance(a), _root_covariance(b)
    overlap = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    shift = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return max(0.0, float(shift + np.square(root_a).sum() + np.square(root_b).sum() - 2 * overlap))


def kernel_distance(features_a: ArrayLike, features_b: ArrayLike) -> float:
    """Unbiased squared maximum mean discrepancy of two sets, with the kernel ``(x·y / D + 1)³``.

    Its mean is 0 for sets of one distribution, so that it can be a little below. It is exact: all pairs count
    (published KIDs are means over random subsets).

    Arguments:
        features_a: ``[N, D]``, two rows or more.
        features_b: ``[M, D]``, two rows or more.

    Raises:
        PipelineError: for sets that do not compare.
    """
    a, b = _features(features_a, features_b)
    return _mean_within(a) + _mean_within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


@dataclass(frozen=True, slots=True)
class Mahalanobis:
    """How unusual a style vector is among the training split: 1 is as usual as a training row on average.

    It is the Mahalanobis distance divided by the root mean square of the training rows' own: without
    shrinkage that is the root of D, the number of dimensions, so that the unit does not depend on it.

    Attributes:
        mean: of the training rows, ``[D]``.
        whitening: ``[D, D]``, takes a difference from the mean to a vector of the distance's length.
    """

    mean: Floats
    whitening: Floats

    @classmethod
    def fit(cls, w: ArrayLike) -> Mahalanobis:
        """Mean and covariance of the training rows ``w [N, D]``, two or more that differ.

        The covariance is shrunk toward a multiple of the identity as far as Ledoit and Wolf find best, so
        that it can be inverted for any number of rows, and chance does not make a direction look forbidden.

        Raises:
            PipelineError: for rows that have no covariance.
        """
        rows = np.asarray(w, np.float64)
        if rows.ndim != 2 or len(rows) < 2 or not rows.std(axis=0).any():
            raise PipelineError(
                f"expected rows [N, D] that differ, two or more, got shape {list(rows.shape)}: "
                "fit the distance on the training split"
            )
        mean = rows.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(rows.T, bias=True).reshape(rows.shape[1], -1))
        shrunk = _shrunk(variances, rows - mean)
        unit = np.sqrt((variances / shrunk).sum())  # the training rows' root mean square
        return cls(mean, axes / (np.sqrt(shrunk) * unit))

    def __call__(self, w: ArrayLike) -> Floats:
        """The distance of each of the rows ``[N, D]``, ``[N]``, at least 0.

        Raises:
            PipelineError: for rows of another width.
        """
        rows = np.asarray(w, np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise PipelineError(f"expected rows [N, {len(self.mean)}], got shape {list(rows.shape)}")
        return np.linalg.norm((rows - self.mean) @ self.whitening, axis=1)


def _shrunk(variances: Floats, centred: Floats) -> Floats:
    """The covariance's eigenvalues ``[D]``, each drawn toward their mean by the share that the paper finds.

    The share is what chance adds to the covariance, of all that it differs from a multiple of the identity.
    """
    mean, apart = variances.mean(), np.square(variances - variances.mean()).sum()
    fourth = np.square(np.square(centred).sum(axis=1)).mean()
    chance = (fourth - np.square(variances).sum()) / len(centred)
    share = min(1.0, max(FLOOR, chance / apart)) if apart > 0 else 1.0
    return (1 - share) * variances + share * mean


def _root_covariance(features: Floats) -> Floats:
    """``R [min(N, D), D]`` with ``RᵀR`` the unbiased covariance."""
    centred = features - features.mean(axis=0)
    return np.linalg.qr(centred, mode="r") / np.sqrt(len(features) - 1)


def _mean_within(features: Floats) -> float:
    """The mean kernel of all pairs of different rows of one set."""
    count = len(features)
    itself = np.power(np.square(features).sum(axis=1) / features.shape[1] + 1, 3).sum()
    return (_kernel_sum(features, features) - itself) / (count * (count - 1))


def _kernel_sum(a: Floats, b: Floats) -> float:
    """The kernel summed over all pairs of a row of ``a`` and a row of ``b``."""
    return float(sum(np.power(x @ y.T / a.shape[1] + 1, 3).sum() for x in _blocks(a) for y in _blocks(b)))


def _blocks(rows: Floats) -> Iterator[Floats]:
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))


def _features(features_a: ArrayLike, features_b: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise PipelineError(
            f"expected two sets of features of one width, two rows or more, got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    return a, b
