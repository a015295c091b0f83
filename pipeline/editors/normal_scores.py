"""Gaussianised labels: attributes as the normal scores of their ranks among the training split."""

from __future__ import annotations

__all__ = ["KNOTS", "normal_scores", "quantiles"]

import torch
from torch import Tensor

KNOTS = 257  # quantiles that stand for an attribute's distribution


def quantiles(attrs: Tensor) -> Tensor:
    """The quantiles ``[K, KNOTS]`` of each column of ``attrs [N, K]`` at ``(i + ½) / KNOTS``, ascending."""
    levels = (torch.arange(KNOTS, device=attrs.device) + 0.5) / KNOTS
    return torch.quantile(attrs, levels, dim=0).T


def normal_scores(values: Tensor, knots: Tensor) -> Tensor:
    """Values as the quantiles of a standard normal distribution that their ranks have; they keep their order.

    Between two knots ranks are interpolated; what lies beyond the outer ones, a 500th of the distribution at
    either end, goes to ±2.9. A value that stands at several knots has the rank in their middle.

    Arguments:
        values: ``[N, K]``.
        knots: ``[K, Q]``, the quantiles of each column at ``(i + ½) / Q``, ascending.
    """
    columns = values.to(knots.dtype).T.contiguous().clamp(knots[:, :1], knots[:, -1:])
    first, after = (torch.searchsorted(knots, columns, right=right) for right in (False, True))
    below, above = knots.gather(1, (first - 1).clamp(min=0)), knots.gather(1, first)
    between = first - 1 + (columns - below) / (above - below)
    rank = torch.where(after > first, (first + after - 1) / 2, between)
    return torch.special.ndtri((rank + 0.5) / knots.shape[1]).T.to(values.dtype)
