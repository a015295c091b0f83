"""Visible coordinates: the directions of w that show most in images, as an editor's working space."""

from __future__ import annotations

__all__ = ["VisibleCoordinates", "visible_coordinates"]

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.generators.low_rank import Metric
from pipeline.generators.pullback import whitening

ENERGY = 0.999  # share of the pull-back metric's trace that they are taken from


@dataclass(frozen=True, slots=True)
class VisibleCoordinates:
    """``y = (w - center) @ factor.T``, and the difference of w that a difference of y stands for.

    Attributes:
        center: ``[w_dim]``.
        factor: ``[rank, w_dim]``.
        inverse: ``[w_dim, rank]``.
    """

    center: Tensor
    factor: Tensor
    inverse: Tensor


def visible_coordinates(w: Tensor, metric: Metric, rank: int) -> VisibleCoordinates:
    """The principal components of w in the pull-back metric: what changes images most over the samples.

    They are scaled to unit mean square with their proportions kept, so that distance is pixel distance. Of
    all differences of w with the same coordinates, which look alike, ``inverse`` gives the one that is most
    usual among the samples: their regression on the coordinates, which are uncorrelated.

    Arguments:
        w: the samples, ``[N, w_dim]``.
        metric: the pull-back metric.
        rank: how many.
    """
    found = whitening(metric, energy=ENERGY)
    if len(found.factor) < rank:  # a few directions hold nearly all of the energy
        found = whitening(metric, rank=rank)
    center = w.mean(dim=0)
    y = (w - center).double() @ found.factor.T
    basis = _descending_eigenvectors(y.T @ y)[:, :rank]
    scale = (y @ basis).square().mean().sqrt()
    y = y @ basis / scale
    variance = y.square().mean(dim=0)
    usual = (w - center).double().T @ y / len(y)
    return VisibleCoordinates(
        center=center,
        factor=basis.T @ found.factor / scale,
        inverse=usual / variance.clamp_min(torch.finfo(variance.dtype).tiny),
    )


def _descending_eigenvectors(square: Tensor) -> Tensor:
    """Eigenvectors in columns, the largest eigenvalue first, signs fixed."""
    vectors = torch.linalg.eigh(square).eigenvectors.flip(1)
    return vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)))
