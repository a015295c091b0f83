"""Does a slider do what a slider should: the further it goes the more, in even steps, and smoothly?

A slider is read at S ``positions``, which rise; its unit is that of the strength, σ. ``scores [..., S]`` are
what the judge reads there, one row per sweep, and each function gives one number per row, in float64. A row
that has a NaN, which marks what could not be measured, gives NaN.

References:
    | Spearman, "The proof and measurement of association between two things", 1904
    | Karras, Laine, Aila, "A style-based generator architecture", arXiv 1812.04948 (perceptual path length)
"""

from __future__ import annotations

__all__ = ["path_length", "spearman", "uniformity"]

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipeline.errors import PipelineError

Floats = NDArray[np.float64]


def spearman(positions: ArrayLike, scores: ArrayLike) -> Floats:
    """Rank correlation of position and score, ``[...]``, in [-1, 1]; ties share their mean rank.

    1 is a slider whose every step goes up, -1 one whose every step goes down, and 0 one that does nothing
    (where the textbook's correlation is undefined: a dead slider is a failure, not a gap in the data).

    Arguments:
        positions: ``[S]``, rising.
        scores: ``[..., S]``.

    Raises:
        PipelineError: for positions that do not rise, or not one score for each of them.
    """
    _gaps(positions)
    values = _rows(scores, len(np.asarray(positions)), "a score for each position")
    ranks, places = _ranks(values), np.arange(values.shape[-1], dtype=np.float64)
    ranks, places = ranks - ranks.mean(axis=-1, keepdims=True), places - places.mean()
    norms = np.sqrt(np.square(ranks).sum(axis=-1) * np.square(places).sum())
    correlation = np.clip(ranks @ places / np.where(norms > 0, norms, 1), -1, 1)  # rounding goes beyond
    return np.where(np.isnan(values).any(axis=-1), np.nan, correlation)


def uniformity(positions: ArrayLike, scores: ArrayLike) -> Floats:
    """How evenly the score goes along the slider, ``[...]``, in [0, 1], whichever way it goes as a whole.

    Each step is a share of the way that the score goes, back and forth. It counts up to the share that it has
    of the slider, and a step backward counts against: ``Σ min(dᵢ / Σ|d|, gᵢ / Σg)``, at least 0, for steps
    ``d`` of the score, positive forward, and ``g`` of the position. A straight line has 1, one jump in n even
    steps has 1/n, and going there and back again has 0, as has a slider that does nothing. For a score that
    never goes back it is ``1 - mean|d - mean(d)| / (2 mean(d))``; turning steps backward makes it less.

    Arguments:
        positions: ``[S]``, rising.
        scores: ``[..., S]``.

    Raises:
        PipelineError: for positions that do not rise, or not one score for each of them.
    """
    gaps = _gaps(positions)
    steps = np.diff(_rows(scores, len(gaps) + 1, "a score for each position"), axis=-1)
    forward = steps * np.sign(steps.sum(axis=-1, keepdims=True))
    way = np.abs(steps).sum(axis=-1, keepdims=True)
    shares = forward / np.where(way == 0, 1, way)
    return np.maximum(np.minimum(shares, gaps / gaps.sum()).sum(axis=-1), 0)


def path_length(positions: ArrayLike, distances: ArrayLike) -> Floats:
    """Mean perceptual distance of neighbours per unit of the slider, ``[...]``; less is smoother.

    Arguments:
        positions: ``[S]``, rising.
        distances: ``[..., S-1]`` from the image at each position to the next one.

    Raises:
        PipelineError: for positions that do not rise, or not one distance for each step.
    """
    gaps = _gaps(positions)
    return (_rows(distances, len(gaps), "a distance for each step") / gaps).mean(axis=-1)


def _ranks(values: Floats) -> Floats:
    """The rank of each value in its row: how many are less, and half of those that are equal."""
    here, other = values[..., :, None], values[..., None, :]
    return (other < here).sum(axis=-1) + ((other == here).sum(axis=-1) - 1) / 2


def _gaps(positions: ArrayLike) -> Floats:
    """The steps between positions, ``[S-1]``."""
    places = np.asarray(positions, np.float64)
    if places.ndim != 1 or len(places) < 2 or not (np.diff(places) > 0).all():
        raise PipelineError(
            f"expected two or more positions of a slider, rising, got {places.tolist()}: sort them"
        )
    return np.diff(places)


def _rows(values: ArrayLike, count: int, what: str) -> Floats:
    rows = np.asarray(values, np.float64)
    if rows.shape[-1:] != (count,):
        raise PipelineError(f"expected {what}, [..., {count}], got shape {list(rows.shape)}")
    return rows
