"""Did an edit do what was asked, and nothing else?

A *move* is the change of the judge's output from the original to the edited image, in standard deviations of
that output over the original images. One row is one edit of one image; ``target`` says which of the K columns
was asked to move and ``direction`` (+1 or -1) where to. The columns of a categorical attribute, one for each
class, move together: what one of them loses, another gains. ``same [K, K]`` says which columns those are (see
:func:`pipeline.attributes.same_attribute`).

References:
    | Wu, Lischinski, Shechtman, "StyleSpace Analysis", arXiv 2011.12799 (attribute dependency)
"""

from __future__ import annotations

__all__ = [
    "attribute_dependency",
    "flipped",
    "identity_similarity",
    "largest_dependency",
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


def flipped(before: Floats, after: Floats, target: Ints, same: Bools) -> Bools:
    """``[N]``: the judge's decision on the target changed; of no meaning for continuous attributes.

    It decides for a binary attribute by the sign of its logit, for a class by its being the greatest.
    """
    return _decided(before, target, same) != _decided(after, target, same)


def _decided(scores: Floats, target: Ints, same: Bools) -> Bools:
    rivals = same[target].copy()
    rivals[np.arange(len(target)), target] = False
    highest = np.where(rivals, np.asarray(scores, np.float64), -np.inf).max(axis=1)
    return _of_target(scores, target) > np.where(rivals.any(axis=1), highest, 0.0)


def attribute_dependency(moves: Floats, target: Ints, same: Bools) -> Floats:
    """``[N]``: the mean absolute move of the columns of all other attributes, in σ; 0 is best."""
    others = ~same[target]
    return (np.abs(np.asarray(moves, np.float64)) * others).sum(axis=1) / np.maximum(others.sum(axis=1), 1)


def largest_dependency(moves: Floats, target: Ints, same: Bools) -> Floats:
    """``[N]``: the largest absolute move among the columns of all other attributes, in σ; 0 is best."""
    return (np.abs(np.asarray(moves, np.float64)) * ~same[target]).max(axis=1)


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
