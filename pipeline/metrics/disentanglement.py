"""Does each coordinate of a code stand for one attribute, and each attribute in one coordinate?

``codes [N, C]`` are an editor's codes of N images and ``factors [N, K]`` what the images show, such as a
labeler's outputs. Units do not matter: every number is the same for coordinates that are scaled, shifted,
turned around, or in another order.

References:
    | Eastwood, Williams, "A framework for the quantitative evaluation of disentangled representations",
    ICLR 2018 (DCI)
    | Chen, Li, Grosse, Duvenaud, "Isolating sources of disentanglement in VAEs", arXiv 1802.04942 (MIG)
    | Kumar, Sattigeri, Balakrishnan, "Variational inference of disentangled latent concepts from unlabeled
    observations", arXiv 1711.00848 (SAP)

Deviations:
    DCI: the penalty of each Lasso is chosen on rows of its own, and informativeness is R² on further rows
    instead of an error, so that 1 is best in all three. MIG: bins hold equally many rows instead of being
    equally wide, since an attribute's tails leave most equal bins empty.
"""

from __future__ import annotations

__all__ = ["BINS", "DCI", "dci", "mig", "mutual_information", "sap"]

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import PipelineError

Floats = NDArray[np.float64]

BINS = 20
"""Bins of a histogram of one variable."""

PENALTIES = 20
"""Penalties that are tried, evenly on a log scale from the least that leaves nothing to its 1,000th part."""

PARTS = (0.6, 0.8)
"""Rows up to the first share are fitted, up to the second choose the penalty, the others are read."""


@dataclass(frozen=True, slots=True)
class DCI:
    """What :func:`dci` finds; each number is in [0, 1], and 1 is best.

    Attributes:
        disentanglement: a coordinate is important for one factor alone; mean over coordinates, weighted by
            their importance.
        completeness: one coordinate alone is important for a factor; mean over factors.
        informativeness: share of a factor's variance that the code predicts on rows that were not fitted;
            mean over factors.
        importance: ``[C, K]``, at least 0: of each coordinate for each factor.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Floats


def dci(codes: ArrayLike, factors: ArrayLike, seed: int) -> DCI:
    """Disentanglement, completeness and informativeness, by a Lasso for each factor.

    Importance is the absolute coefficient of a standardised coordinate for a standardised factor. A Lasso and
    not trees, for attributes are read off these codes nearly linearly, and what trees find important spreads
    over hundreds of coordinates by chance.

    Arguments:
        codes: ``[N, C]``, C of at least 2.
        factors: ``[N, K]``, K of at least 2, none of them constant.
        seed: divides the rows into those that are fitted and those that are not.

    Raises:
        PipelineError: for codes and factors that do not go together.
    """
    x, y = _checked(codes, factors)
    order = np.random.default_rng(seed).permutation(len(x))
    known, choosing, unseen = np.split(order, [int(share * len(x)) for share in PARTS])
    x, y = _standardised(x, known), _standardised(y, known)
    importance, read = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    for k in range(y.shape[1]):
        tried = _lasso_path(x[known], y[known, k])
        errors = np.square(x[choosing] @ tried - y[choosing, k, None]).mean(axis=0)
        weights = tried[:, errors.argmin()]
        importance[:, k] = np.abs(weights)
        missed = np.square(x[unseen] @ weights - y[unseen, k]).mean() / y[unseen, k].var()
        read[k] = max(0.0, 1 - missed)
    of_coordinates = importance.sum(axis=1)
    weighted = _concentration(importance) @ of_coordinates
    return DCI(
        disentanglement=float(weighted / max(of_coordinates.sum(), np.finfo(float).tiny)),
        completeness=float(_concentration(importance.T).mean()),
        informativeness=float(read.mean()),
        importance=importance,
    )


def mig(codes: ArrayLike, factors: ArrayLike) -> float:
    """Mutual information gap, in [0, 1]: how much better than any other one coordinate knows a factor.

    The gap is a share of the factor's entropy; mean over factors. Both come from histograms, which see more
    information than there is, alike in every coordinate: the gap hardly feels it.

    Arguments:
        codes: ``[N, C]``, C of at least 2.
        factors: ``[N, K]``, none of them constant.

    Raises:
        PipelineError: for codes and factors that do not go together.
    """
    x, y = _checked(codes, factors)
    entropy = np.array([_entropy(np.bincount(_bins(column)) / len(y)) for column in y.T])
    return float((_gap(mutual_information(x, y)) / entropy).mean())


def mutual_information(codes: ArrayLike, factors: ArrayLike) -> Floats:
    """Mutual information of each coordinate and each factor, in nats, ``[C, K]``.

    It is that of two histograms with ``BINS`` bins of equally many rows; equal values share a bin.

    Arguments:
        codes: ``[N, C]``.
        factors: ``[N, K]``.
    """
    x, y = np.asarray(codes, np.float64), np.asarray(factors, np.float64)
    coded = [np.eye(BINS)[_bins(column)] for column in x.T]
    known = [np.eye(BINS)[_bins(column)] for column in y.T]
    return np.array([[_information(a.T @ b / len(x)) for b in known] for a in coded])


def sap(codes: ArrayLike, factors: ArrayLike) -> float:
    """Separated attribute predictability, in [0, 1]: the gap between the two best single coordinates.

    A coordinate is as good as the share R² of the factor's variance that a line through it predicts; mean of
    the gap over factors.

    Arguments:
        codes: ``[N, C]``, C of at least 2.
        factors: ``[N, K]``, none of them constant.

    Raises:
        PipelineError: for codes and factors that do not go together.
    """
    x, y = _checked(codes, factors)
    correlation = _standardised(x).T @ _standardised(y) / len(x)
    return float(_gap(np.square(correlation)).mean())


def _lasso_path(x: Floats, y: Floats) -> Floats:
    """Coefficients for each penalty, ``[C, PENALTIES]``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import lasso_path  # takes seconds, and only this fit needs it

    with warnings.catch_warnings():  # the least penalties may end early, which other rows then do not choose
        warnings.simplefilter("ignore", ConvergenceWarning)
        return lasso_path(x, y, alphas=PENALTIES, eps=1e-3, precompute=True)[1]


def _concentration(importance: Floats) -> Floats:
    """Of each row ``[R, M]``, 1 less its entropy in units of the greatest possible; 0 for a row of zeros."""
    sums = importance.sum(axis=1, keepdims=True)
    shares = importance / np.where(sums > 0, sums, 1)
    spread = np.array([_entropy(row) for row in shares]) / np.log(importance.shape[1])
    return np.where(sums[:, 0] > 0, 1 - spread, 0)


def _entropy(shares: Floats) -> float:
    """Of a distribution, in nats."""
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())


def _information(joint: Floats) -> float:
    """Mutual information of a joint distribution ``[A, B]``, in nats."""
    return _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint)


def _bins(values: Floats) -> NDArray[np.int64]:
    """The bin of each value ``[N]``, 0 to ``BINS - 1``."""
    return np.searchsorted(np.quantile(values, np.arange(1, BINS) / BINS), values, side="right")


def _gap(scores: Floats) -> Floats:
    """The best less the second best of each column ``[C, K]``."""
    second, best = np.sort(scores, axis=0)[-2:]
    return best - second


def _standardised(values: Floats, known: NDArray[np.int64] | slice = slice(None)) -> Floats:
    """Columns with mean 0 and variance 1 over the known rows; what is constant there becomes 0."""
    mean, deviation = values[known].mean(axis=0), values[known].std(axis=0)
    return np.where(deviation > 0, (values - mean) / np.where(deviation > 0, deviation, 1), 0)


def _checked(codes: ArrayLike, factors: ArrayLike) -> tuple[Floats, Floats]:
    x, y = np.asarray(codes, np.float64), np.asarray(factors, np.float64)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or min(x.shape[1], y.shape[1]) < 2 or len(x) < BINS:
        raise PipelineError(
            f"expected codes [N, C] and factors [N, K] of the same N rows, {BINS} or more, and two columns "
            f"or more, got {list(x.shape)} and {list(y.shape)}"
        )
    if not (deviation := y.std(axis=0)).all():
        raise PipelineError(
            f"expected factors that vary, got one value throughout in column {int(deviation.argmin())}: "
            "leave it out"
        )
    return x, y
