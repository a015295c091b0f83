"""How well the metric predicts image changes: what is measured, and what is said about it."""

from __future__ import annotations

import pytest
import torch

from pipeline.generators.validity import image_changes, valid_up_to, validity
from tests.fakes import FakeGenerator, fake_metric


def steps_of(generator, count, sizes):
    random = torch.Generator().manual_seed(0)
    w = generator.mapping(torch.randn(count, generator.z_dim, generator=random))
    d = torch.randn(count, 1, generator.w_dim, generator=random)
    return w, d * torch.tensor(sizes)[None, :, None]


def test_image_changes_are_mean_squared_pixel_changes():
    generator = FakeGenerator()
    w, steps = steps_of(generator, 3, [0.1, 0.5])
    expected = (generator.synthesize(w + steps[:, 1]) - generator.synthesize(w)).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(image_changes(generator.prepare(), w, steps)[:, 1], expected.double())


def test_the_form_is_right_for_small_steps_and_too_large_for_great_ones():
    generator = FakeGenerator()
    w, steps = steps_of(generator, 64, [0.01, 10.0])
    small, great = validity(
        fake_metric(generator), steps, image_changes(generator.synthesize, w, steps), (0.01, 10.0)
    )
    assert small["ratio"] == pytest.approx(1, rel=0.3)
    assert small["low"] < small["ratio"] < small["high"]
    assert small["correlation"] > 0.5
    assert great["ratio"] > 5


def test_a_form_that_is_the_change_correlates_perfectly():
    generator = FakeGenerator()
    metric = fake_metric(generator)
    _, steps = steps_of(generator, 16, [1.0])
    changes = torch.einsum("nsi,ij,nsj->ns", steps.double(), metric, steps.double())
    (row,) = validity(metric, steps, changes, (1.0,))
    assert row == pytest.approx({"size": 1.0, "ratio": 1, "low": 1, "high": 1, "correlation": 1})


def test_a_form_that_is_never_right_is_called_so():
    said = valid_up_to([{"size": 0.1, "ratio": 3.0}, {"size": 1.0, "ratio": 1.0}])
    assert "at no size of step" in said
