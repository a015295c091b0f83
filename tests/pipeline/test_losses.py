"""What the losses draw for each row, and what they forgive."""

from __future__ import annotations

import pytest
import torch

from pipeline.editors.losses import decorrelation_loss, difference_hinge, row_keys, row_uniforms


def test_row_keys_do_not_depend_on_the_batch():
    w = torch.randn(400, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat([row_keys(part) for part in w.split(7)]), row_keys(w))


def test_row_draws_are_uniform_and_change_with_progress():
    w = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    keys = row_keys(w)
    draws, later = row_uniforms(keys, 0.25, 2), row_uniforms(keys, 0.26, 2)
    assert (torch.histc(draws, 8, 0, 1) / 1000 - 1).abs().max() < 0.15
    assert abs(float(torch.corrcoef(draws.T)[0, 1])) < 0.06
    assert abs(float(torch.corrcoef(torch.stack([draws[:, 0], later[:, 0]]))[0, 1])) < 0.06


def test_difference_hinge_forgives_four_percent():
    img = torch.zeros(1, 3, 4, 4)
    assert float(difference_hinge(img, img + 0.04)) == pytest.approx(0, abs=1e-8)
    assert float(difference_hinge(img, img - 0.1)) == pytest.approx(0.06)


def test_decorrelation_counts_the_correlations_of_attributes_with_the_rest_alone():
    code = torch.randn(300, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    code[:, 1] += code[:, 0]  # two attributes
    code[:, 3] -= 2 * code[:, 1]  # an attribute and the rest
    expected = torch.corrcoef(code.T)[:2, 2:].abs().mean()
    torch.testing.assert_close(decorrelation_loss(code, 2), expected, rtol=1e-5, atol=0)
