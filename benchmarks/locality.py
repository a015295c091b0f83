"""A pull-back metric for each cluster of styles: would local metrics predict image changes better?"""

from __future__ import annotations

__all__ = ["CLUSTERS", "cluster_forms"]

import torch
from torch import Tensor

from pipeline.generators.low_rank import quadratic_form
from pipeline.generators.pullback import whitening

CLUSTERS = (4, 8, 16)
ENERGY = 0.9  # share of the metric's trace in whose directions styles are clustered
ITERATIONS = 30


def cluster_forms(styles: Tensor, products: Tensor, w: Tensor, d: Tensor) -> dict[str, Tensor]:
    """``dᵀ M d`` with the metric of the cluster that w is in, for several numbers of clusters.

    Arguments:
        styles: ``[P, w_dim]``.
        products: of the styles, ``[P, noises, w_dim]``, float64.
        w: where steps begin, ``[N, w_dim]``.
        d: the steps, ``[N, w_dim]``.
    """
    rows = products.flatten(0, 1)
    visible = whitening(rows.T @ rows / len(rows), energy=ENERGY).factor.T
    forms = {}
    for count in CLUSTERS:
        centers = _k_means(styles.double() @ visible, count)
        mine, theirs = _nearest(styles.double() @ visible, centers), _nearest(w.double() @ visible, centers)
        form = torch.zeros(len(w), dtype=torch.float64)
        for k in range(count):
            members = products[mine == k].flatten(0, 1)
            form[theirs == k] = quadratic_form(members.T @ members / len(members), d[theirs == k])
        forms[f"{count} clusters"] = form
    return forms


def _k_means(y: Tensor, count: int) -> Tensor:
    """Centers ``[count, rank]`` (Lloyd), begun at rows drawn with a fixed seed."""
    centers = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))[:count]]
    for _ in range(ITERATIONS):
        nearest = _nearest(y, centers)
        centers = torch.stack([y[nearest == k].mean(dim=0) for k in range(count)])
    return centers


def _nearest(y: Tensor, centers: Tensor) -> Tensor:
    return torch.cdist(y, centers).argmin(dim=1)
