"""What the editors that are normalising flows share: a Gaussian, and the statistics of the training split."""

from __future__ import annotations

__all__ = ["attribute_statistics", "gaussian_log_density", "seeded", "style_statistics"]

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pipeline.editors.base import EditingData, refuse_constant

FLOOR = 1e-4  # share of the mean variance that is added in each direction, also in one that never varies


def gaussian_log_density(x: Tensor, mean: Tensor | float = 0.0, std: float = 1.0) -> Tensor:
    """``log N(x; mean, std²)`` of independent coordinates, summed over the last: ``[N, D]`` → ``[N]``."""
    unit = (x - mean) / std
    return (-0.5 * unit.square() - math.log(std * math.sqrt(2 * math.pi))).sum(dim=-1)


def attribute_statistics(data: EditingData) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``[K]`` of the labels.

    Raises:
        PipelineError: when a column has one value throughout.
    """
    std = data.attrs.std(dim=0)
    refuse_constant(data.columns, std.tolist())
    return data.attrs.mean(dim=0), std


def style_statistics(w: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``[w_dim]`` and positive definite covariance ``[w_dim, w_dim]``, float64, of ``w [N, w_dim]``."""
    x = w.double() - w.double().mean(dim=0)
    covariance = x.T @ x / len(x)
    floor = FLOOR * covariance.diagonal().mean()
    return w.mean(dim=0), covariance + floor * torch.eye(len(covariance)).to(covariance)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights by a seed, and leave the global random numbers as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
