"""A balanced draw makes attributes about independent, and leaves what is independent as it is."""

from __future__ import annotations

import torch

from pipeline.editors import EditingData
from pipeline.editors.balance import LARGEST, balanced

COLUMNS = ("gender", "beard")


def drawn(correlation: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The attributes of a split with a correlation, before and after."""
    noise = torch.randn(8000, 2, generator=torch.Generator().manual_seed(0))
    attrs = torch.stack(
        [noise[:, 0], correlation * noise[:, 0] + (1 - correlation**2) ** 0.5 * noise[:, 1]], 1
    )
    data = EditingData(torch.cat([attrs, attrs], dim=1), attrs, COLUMNS)
    found = balanced(data, attrs)
    assert torch.equal(found.w[:, :2], found.attrs)  # styles come along
    assert len(found.w) == len(attrs)
    return attrs, found.attrs


def rare(attrs: torch.Tensor) -> float:
    """The share of rows above the mean of one attribute and below that of the other."""
    return float(((attrs[:, 0] > 0) & (attrs[:, 1] < 0)).double().mean())


def test_rare_combinations_are_drawn_more_often():
    attrs, found = drawn(0.7)
    assert float(torch.corrcoef(attrs.T)[0, 1]) > 0.65
    assert float(torch.corrcoef(found.T)[0, 1]) < 0.3  # not 0: no row is drawn too often
    assert rare(found) > 1.5 * rare(attrs)
    times = torch.unique(found, dim=0, return_counts=True)[1]
    assert 3 < times.max() <= LARGEST * 2


def test_independent_attributes_stay_as_they_are():
    attrs, found = drawn(0.0)
    assert len(torch.unique(found, dim=0)) > 0.9 * len(attrs)
    assert torch.allclose(found.std(dim=0), attrs.std(dim=0), atol=0.05)
