"""What the editors that are normalising flows share: a Gaussian, and the statistics of the training split."""

from __future__ import annotations

__all__ = ["FlowEditor", "gaussian_log_density", "seeded", "style_statistics"]

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from pipeline.editors.base import EditingData, Editor, offsets, refuse_constant

FLOOR = 1e-4  # share of the mean variance that is added in each direction, also in one that never varies


class FlowEditor(Editor):
    """An editor whose code begins with the attributes and has an inverse: an edit moves a coordinate.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
        spread: of styles, ``[w_dim]`` or ``[w_dim, w_dim]``: what stands there until there are statistics.
    """

    attr_mean: Tensor
    attr_std: Tensor
    center: Tensor
    spread: Tensor

    def __init__(self, columns: tuple[str, ...], w_dim: int, spread: Tensor) -> None:
        super().__init__()
        self.columns, self.w_dim = columns, w_dim
        self.register_buffer("attr_mean", torch.zeros(len(columns)))
        self.register_buffer("attr_std", torch.ones(len(columns)))
        self.register_buffer("center", torch.zeros(w_dim))
        self.register_buffer("spread", spread)

    def learn_attributes(self, data: EditingData) -> None:
        """Take mean and standard deviation of the labels.

        Raises:
            PipelineError: when a column has one value throughout.
        """
        std = data.attrs.std(dim=0)
        refuse_constant(data.columns, std.tolist())
        self.attr_mean.copy_(data.attrs.mean(dim=0))
        self.attr_std.copy_(std)

    def normalise(self, attrs: Tensor) -> Tensor:
        """Raw labeler outputs ``[N, K]`` in standard deviations of the training split."""
        return (attrs - self.attr_mean) / self.attr_std

    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """Encode, move the attribute's coordinate by ``strength``, decode."""
        which = self.index(attribute)
        code = self.encode(w.to(self.center.dtype))
        code[:, which : which + 1] += offsets(strength, code)
        return self.decode(code).to(w.dtype)


def gaussian_log_density(x: Tensor, mean: Tensor | float = 0.0, std: float = 1.0) -> Tensor:
    """``log N(x; mean, std²)`` of independent coordinates, summed over the last: ``[N, D]`` → ``[N]``."""
    unit = (x - mean) / std
    return (-0.5 * unit.square() - math.log(std * math.sqrt(2 * math.pi))).sum(dim=-1)


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
