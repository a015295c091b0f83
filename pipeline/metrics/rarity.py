"""Which edits ask for something that the training data hardly has: a beard on a woman, a bald child.

An edit asks for a combination when the edited attribute ends on one side of its range while another attribute
stays on a side of its own. How common that is, is counted over the training split: the rows that are at least
as far out in both attributes.
"""

from __future__ import annotations

__all__ = ["RARE", "rare_requests"]

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RARE = 0.01
"""A combination of less than this share of the training rows is rare."""

COMMON = 0.05
"""Each of its halves alone is in at least this share: the combination is rare, not one extreme value."""


def rare_requests(labels: Floats, train: Floats, step: Floats, same: Bools) -> Bools:
    """Which edits ask for a rare combination, ``[N, 2, K]``: up first, then down.

    Arguments:
        labels: of the latents that are edited, ``[N, K]``.
        train: of the training rows, ``[M, K]``.
        step: how far each attribute is moved, ``[K]``.
        same: which columns belong to one attribute, ``[K, K]``.
    """
    columns = labels.shape[1]
    middle, signs = np.median(train, axis=0), np.array([1.0, -1.0])[:, None]
    found = np.zeros((len(labels), 2, columns), bool)
    for n, row in enumerate(labels):
        side = np.where(row >= middle, 1.0, -1.0)
        kept = train * side >= row * side  # [M, K]: as far out as this row, on its side
        reached = train[:, None] * signs >= (row + signs * step) * signs  # [M, 2, K]: as far as the edit goes
        reached = reached.reshape(len(train), -1)
        together = reached.T.astype(np.float32) @ kept.astype(np.float32) / len(train)  # [2 K, K]
        possible = (reached.mean(axis=0)[:, None] >= COMMON) & (kept.mean(axis=0) >= COMMON)
        rare = (together < RARE) & possible & ~np.tile(same, (2, 1))
        found[n] = rare.any(axis=1).reshape(2, columns)
    return found
