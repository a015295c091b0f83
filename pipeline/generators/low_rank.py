"""Sums of squares of vectors: whole matrices where they are small, few directions and a diagonal where not.

A metric over vectors of width d is the mean of ``v vᵀ``. Up to :data:`FULL_WIDTH` it is kept whole, which is
exact. Above, :class:`LowRank` keeps the strongest directions and, as a diagonal, what those leave out: memory
is bounded however many vectors there are, and the diagonal, so the trace, stays exact. As long as no more
vectors than directions have come, everything is.

References:
    Levy, Lindenbaum: Sequential Karhunen-Loeve basis extraction and its application to images, IEEE
    Transactions on Image Processing 9 (8), 2000: the singular value decomposition of rows that keep coming.
"""

from __future__ import annotations

__all__ = [
    "FULL_WIDTH",
    "FullSum",
    "LowRank",
    "LowRankSum",
    "Metric",
    "leading",
    "quadratic_form",
    "trace_of",
    "truncate",
]

from typing import Any, NamedTuple

import torch
from torch import Tensor

FULL_WIDTH = 1024
"""The greatest width whose metric is kept whole: 8 MiB."""

DIRECTIONS = 512


class LowRank(NamedTuple):
    """The matrix ``factorᵀ factor + diag(diagonal)``.

    Attributes:
        factor: ``[rank, width]``, rows orthogonal, the longest first.
        diagonal: ``[width]``, not negative.
    """

    factor: Tensor
    diagonal: Tensor

    def to(self, *args: Any, **kwargs: Any) -> LowRank:  # noqa: ANN401
        """Both parts, as :meth:`torch.Tensor.to` has it."""
        return LowRank(self.factor.to(*args, **kwargs), self.diagonal.to(*args, **kwargs))


Metric = Tensor | LowRank
"""A symmetric, positive semi-definite matrix: ``[width, width]``, or its approximation."""


class FullSum:
    """The sum of ``v vᵀ``, ``[width, width]``, float64."""

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Add vectors ``[N, width]``."""
        rows = rows.double()
        self.total += rows.T @ rows

    def metric(self, scale: float) -> Tensor:
        """The sum times ``scale``."""
        return (self.total + self.total.T) * (scale / 2)


class LowRankSum:
    """The sum of ``v vᵀ`` in ``rank`` directions and a diagonal, float64; vectors are forgotten at once."""

    def __init__(self, width: int, rank: int = DIRECTIONS) -> None:
        self.rank = rank
        self.factor = torch.zeros(0, width, dtype=torch.float64)
        self.squares = torch.zeros(width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Add vectors ``[N, width]``."""
        rows = rows.double()
        self.squares += rows.square().sum(dim=0)
        _, values, vectors = torch.linalg.svd(torch.cat([self.factor, rows]), full_matrices=False)
        self.factor = (values[:, None] * vectors)[: self.rank]

    def metric(self, scale: float) -> LowRank:
        """The sum times ``scale``."""
        return _with_diagonal(self.factor * scale**0.5, self.squares * scale)


def truncate(metric: Metric, rank: int) -> LowRank:
    """The ``rank`` strongest directions of a metric, and what they leave out as a diagonal."""
    if isinstance(metric, LowRank):
        diagonal = metric.diagonal + metric.factor.square().sum(dim=0)
        return _with_diagonal(metric.factor[:rank], diagonal)
    values, vectors = leading(metric)
    return _with_diagonal((vectors * values.sqrt()).T[:rank].contiguous(), metric.diagonal())


def _with_diagonal(factor: Tensor, diagonal: Tensor) -> LowRank:
    """The matrix with this factor whose diagonal is ``diagonal``; rounding must not make it negative."""
    return LowRank(factor, (diagonal - factor.square().sum(dim=0)).clamp_min(0))


def leading(metric: Metric) -> tuple[Tensor, Tensor]:
    """Eigenvalues ``[K]``, descending, and eigenvectors ``[width, K]`` with their signs fixed.

    All of them for a whole matrix. For a :class:`LowRank` those of its restriction to the factor's span
    (Rayleigh-Ritz), K = rank: the span counts the diagonal, too.
    """
    if isinstance(metric, LowRank):
        basis = torch.linalg.qr(metric.factor.double().T).Q
        inside = metric.factor.double() @ basis
        values, vectors = torch.linalg.eigh(inside.T @ inside + basis.T @ (metric.diagonal[:, None] * basis))
        vectors = basis @ vectors
    else:
        values, vectors = torch.linalg.eigh(metric.double())
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return values, vectors * torch.sign(largest)  # LAPACK's sign is free


def trace_of(metric: Metric) -> float:
    """The trace."""
    if isinstance(metric, LowRank):
        return float(metric.factor.square().sum() + metric.diagonal.sum())
    return float(metric.trace())


def quadratic_form(metric: Metric, d: Tensor) -> Tensor:
    """``dᵀ M d`` of each row of ``d [N, width]``: ``[N]``, float64."""
    d = d.double()
    if isinstance(metric, LowRank):
        return (d @ metric.factor.T).square().sum(dim=1) + d.square() @ metric.diagonal
    return ((d @ metric) * d).sum(dim=1)
