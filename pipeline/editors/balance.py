"""Balanced sampling: a split drawn again, so that rare combinations of attributes are not rare."""

from __future__ import annotations

__all__ = ["balanced"]

from dataclasses import replace

import torch
from torch import Tensor

from pipeline.editors.base import EditingData

LARGEST = 10.0  # times that a row is drawn, at most
DAMPING = 1e-2  # of the correlations: the classes of a categorical attribute depend on each other


def balanced(data: EditingData, attrs: Tensor) -> EditingData:
    """As many rows, drawn again so that attributes are about independent of each other.

    A row's weight is the density of its attributes if they were independent, over the density that they
    have, both taken for normal: a bearded woman counts for more than a bearded man. The draw is systematic,
    so it is the same each time, and rows of weight 1 or more are all in it.

    Arguments:
        data: the split.
        attrs: its attributes, normalised, ``[N, K]``.
    """
    z = (attrs - attrs.mean(dim=0)).double()
    z = z / z.std(dim=0).clamp_min(torch.finfo(z.dtype).tiny)
    one = torch.eye(z.shape[1]).to(z)
    precision = torch.linalg.inv(z.T @ z / len(z) + DAMPING * one)
    weight = torch.softmax(((z @ precision) * z - z.square()).sum(dim=1) / 2, dim=0) * len(z)
    ends = weight.clamp_max(LARGEST).cumsum(dim=0)
    places = (torch.arange(len(z)).to(z) + 0.5) / len(z) * ends[-1]
    chosen = torch.searchsorted(ends, places).clamp_max(len(z) - 1)
    return replace(data, w=data.w[chosen], attrs=data.attrs[chosen])
