"""Scores of classifiers and generators: arithmetic on arrays, in float64."""

from __future__ import annotations

__all__ = ["accuracy", "auc", "frechet_distance", "spearman"]

import numpy as np
from torch import Tensor


def accuracy(logits: Tensor, truth: Tensor) -> float:
    """Share of ``logits [N]`` on the right side of 0; ``truth [N]`` is true above 0.5."""
    return float(((logits > 0) == (truth > 0.5)).double().mean())


def spearman(a: Tensor, b: Tensor) -> float:
    """Rank correlation of two vectors without ties."""
    ranks_a, ranks_b = (x.double().numpy().argsort().argsort() for x in (a, b))
    return float(np.asarray(np.corrcoef(ranks_a, ranks_b))[0, 1])


def auc(positive: Tensor, negative: Tensor) -> float:
    """Area under the ROC curve: how likely one of ``positive [P]`` exceeds one of ``negative [Q]``."""
    order = np.concatenate([positive.double().numpy(), negative.double().numpy()]).argsort()
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    p, q = len(positive), len(negative)
    return float((ranks[:p].sum() - p * (p + 1) / 2) / (p * q))


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Fréchet distance of the Gaussians fitted to features ``a [N, F]`` and ``b [M, F]`` (arXiv 1706.08500).

    ``|μa - μb|² + tr(A + B - 2 (AB)^½)``; with inception features this is the FID.
    """
    x, y = a.double().numpy(), b.double().numpy()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # (AB)^½ and (A^½ B A^½)^½ have the same trace, and the second is symmetric.
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(root @ cov_y @ root).clip(0)).sum()
    gap = x.mean(axis=0) - y.mean(axis=0)
    return float(gap @ gap + np.trace(cov_x) + np.trace(cov_y) - 2 * overlap)
