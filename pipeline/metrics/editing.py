"""Did an edit do what was asked, and nothing else?

A *move* is the change of the judge's output from the original to the edited image, in standard deviations of
that output over the original images. One row is one edit of one image; ``target`` says which of the K columns
was asked to move and ``direction`` (+1 or -1) where to.

References:
    | Wu, Lischinski, Shechtman, "StyleSpace Analysis", arXiv 2011.12799 (attribute dependency)
"""

from __future__ import annotations

__all__ = [
    "attribute_dependency",
    "flipped",
    "identity_similarity",
    "moves_in_sigma",
    "rescoring_matrix",
    "success",
]

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


def moves_in_sigma(before: Floats, after: Floats, sigma: Floats) -> Floats:
    """Change of scores ``[N, K]`` in standard deviations ``sigma [K]``."""
    return (np.asarray(after, np.float64) - np.asarray(before, np.float64)) / np.asarray(sigma, np.float64)


def success(moves: Floats, target: Ints, direction: Floats, delta: float) -> Bools:
    """``[N]``: the judge saw the target move at least half of ``delta``, in the asked direction.

    Half, because labeler and judge are two classifiers that agree on the direction but not on the length of a
    step.
    """
    return _of_target(moves, target) * direction >= delta / 2


def flipped(before: Floats, after: Floats, target: Ints) -> Bools:
    """``[N]``: the judge's logit of the target changed its sign; of meaning for binary attributes alone."""
    return (_of_target(before, target) > 0) != (_of_target(after, target) > 0)


def attribute_dependency(moves: Floats, target: Ints) -> Floats:
    """``[N]``: the mean absolute move of the K - 1 columns that were not asked to move, in σ; 0 is best."""
    others = np.abs(np.asarray(moves, np.float64))
    others[np.arange(len(others)), target] = 0
    return others.sum(axis=1) / max(others.shape[1] - 1, 1)


def identity_similarity(before: Floats, after: Floats) -> Floats:
    """``[N]``: cosine of unit embeddings ``[N, E]``; 1 is the same person."""
    return (np.asarray(before, np.float64) * np.asarray(after, np.float64)).sum(axis=1)


def rescoring_matrix(moves: Floats, target: Ints, direction: Floats) -> Floats:
    """``[K, K]``: row i is the mean move of every column when i is edited, along the asked direction.

    The diagonal of a perfect editor is ``delta`` and everything else is 0; a row without edits is NaN.
    """
    along = np.asarray(moves, np.float64) * np.asarray(direction, np.float64)[:, None]
    columns = along.shape[1]
    rows = [
        along[target == k].mean(axis=0) if (target == k).any() else np.full(columns, np.nan)
        for k in range(columns)
    ]
    return np.stack(rows)


def _of_target(values: Floats, target: Ints) -> Floats:
    return np.asarray(values, np.float64)[np.arange(len(values)), target]
