"""Minimal filtering against the ordinary convolution."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pipeline.generators import winograd
from pipeline.generators.winograd import winograd_conv, winograd_weight


@pytest.mark.parametrize("band", [1, 1 << 23])
def test_it_is_a_convolution_whole_and_band_by_band(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "BAND", band)
    x, weight = torch.randn(3, 5, 12, 8).double(), torch.randn(7, 5, 3, 3).double()
    expected = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(winograd_conv(x, winograd_weight(weight)), expected, rtol=0, atol=1e-12)


def test_single_precision_loses_little() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(1, 256, 16, 16), torch.randn(256, 256, 3, 3)
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    error = (winograd_conv(x, winograd_weight(weight)) - expected).abs().max()
    assert error <= 3e-5 * expected.abs().max()


def test_its_gradient_is_that_of_the_convolution() -> None:
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    weight, noise = torch.randn(4, 3, 3, 3).double(), torch.randn(2, 4, 8, 8).double()
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, padding=1), x, noise)
    (found,) = torch.autograd.grad(winograd_conv(x, winograd_weight(weight)), x, noise)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
