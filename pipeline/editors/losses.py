"""Training losses: small pure functions whose names say the space that they measure in.

All losses return a scalar, a mean over the batch, and keep the graph.
"""

from __future__ import annotations

__all__ = [
    "attribute_loss",
    "correlations",
    "cycle_loss",
    "decorrelation_loss",
    "difference_hinge",
    "edit_loss",
    "image_loss",
    "preserve_loss",
    "pullback_loss",
    "row_keys",
    "row_uniforms",
    "w_loss",
]

import torch
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-8  # of a variance: a coordinate that a batch does not vary in is correlated with nothing


def image_loss(img: Tensor, reconstructed: Tensor) -> Tensor:
    """Mean squared difference of pixels in [-1, 1] (StyleAE, the reconstruction term)."""
    return F.mse_loss(reconstructed, img)


def difference_hinge(img: Tensor, reconstructed: Tensor, margin: float = 0.04) -> Tensor:
    """What absolute pixel differences exceed ``margin`` by, on average (StyleAE's "pixel loss")."""
    return F.relu((reconstructed - img).abs() - margin).mean()


def w_loss(w: Tensor, reconstructed: Tensor) -> Tensor:
    """Mean squared difference of style vectors, over all coordinates."""
    return F.mse_loss(reconstructed, w)


def pullback_loss(difference: Tensor, factor: Tensor) -> Tensor:
    """The mean squared pixel difference that a style difference causes, to second order: ``dᵀ M d = |F d|²``.

    Arguments:
        difference: ``d [N, w_dim]``.
        factor: ``F [rank, w_dim]``, a factor of the pull-back metric (see
            :mod:`pipeline.generators.pullback`).
    """
    return (difference @ factor.T).square().sum(dim=1).mean()


def attribute_loss(code: Tensor, attrs: Tensor) -> Tensor:
    """Mean squared difference of the first code coordinates and normalised attributes ``[N, A]``.

    Of a one-hot class it charges for a wrong class that is high as much as for the right one that is low.
    (The authors' own loss for classes charges nothing for wrong ones.)
    """
    return F.mse_loss(code[:, : attrs.shape[1]], attrs)


def edit_loss(read: Tensor, target: Tensor, edited: Tensor) -> Tensor:
    """How far an edited attribute is from its target, as a probe reads it.

    Arguments:
        read: attributes that a probe reads in edited styles, ``[..., N, K]``, in training standard
            deviations.
        target: what it should read, broadcast to the same shape.
        edited: one-hot rows ``[N, K]``: which attribute was edited.
    """
    return ((read - target).square() * edited).sum(dim=-1).mean()


def preserve_loss(read: Tensor, target: Tensor, edited: Tensor) -> Tensor:
    """How far the attributes that were not edited moved; arguments as in :func:`edit_loss`."""
    return ((read - target).square() * (1 - edited)).sum(dim=-1).mean()


def cycle_loss(code: Tensor, recovered: Tensor) -> Tensor:
    """Mean squared difference of the code that was decoded and the code that encoding finds again."""
    return F.mse_loss(recovered, code)


def decorrelation_loss(code: Tensor, count: int) -> Tensor:
    """The mean absolute correlation of a batch's first ``count`` code coordinates with its other ones."""
    return correlations(code)[:count, count:].mean()


def correlations(code: Tensor) -> Tensor:
    """Absolute correlations ``[C, C]`` of the coordinates of a batch ``[N, C]``."""
    centred = code - code.mean(dim=0)
    x = centred * (centred.square().mean(dim=0) + TINY).rsqrt()
    return (x.T @ x / len(x)).abs()


def row_keys(w: Tensor) -> Tensor:
    """A number in [0, 2³¹) for each style vector ``[N, w_dim]``, from its bits alone.

    Integer arithmetic makes it exact: no summation order can change it.
    """
    bits = w.detach().float().contiguous().view(torch.int32).long() & 0xFFFFFFFF
    position = torch.arange(1, w.shape[1] + 1, device=w.device)
    return _mixed((bits * ((position * 40_503) & 0xFFFF)).sum(dim=1))


def row_uniforms(keys: Tensor, progress: float, count: int) -> Tensor:
    """Pseudo-random numbers ``[N, count]`` in [0, 1), from each row's key ``[N]`` and ``progress`` alone.

    Training draws its targets from them, so a batch split over workers, a resumed run and an uninterrupted
    one all draw the same.
    """
    salts = torch.arange(1, count + 1, device=keys.device) * 0x9E3779B1
    salts = salts + int(progress * 1_000_003) * 0x85EBCA6B
    return (_mixed(keys[:, None] + salts) & 0xFFFFFF).to(torch.float32) / 2**24


def _mixed(state: Tensor) -> Tensor:
    """A multiply-xorshift mix to 31 bits."""
    state = (state ^ (state >> 31)) & 0x7FFFFFFF
    for multiplier in (0x2C1B3C6D, 0x297A2D39):
        state = (state ^ (state >> 16)) * multiplier & 0x7FFFFFFF
    return state ^ (state >> 15)
