"""The renderer: pictures that answer to their factors, smoothly and at any resolution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.errors import PipelineError
from portraits.factors import FACTORS, INDEX, D, factors_from_normals
from portraits.renderer import render
from portraits.shapes import Canvas

SAMPLE = factors_from_normals(torch.randn(6, D, generator=torch.Generator().manual_seed(0)))

# Rows and columns of the 64-pixel picture where each attribute shows: (top, bottom, left, right).
REGIONS = {
    "gender": (16, 64, 0, 64),
    "glasses": (22, 40, 14, 50),
    "yaw": (20, 52, 8, 56),
    "pitch": (14, 54, 14, 50),
    "baldness": (2, 36, 8, 56),
    "beard": (32, 58, 16, 48),
    "age": (4, 48, 8, 56),
    "expression": (14, 52, 14, 50),
}


def sitter(**values: float) -> Tensor:
    """One portrait `[1, D]` with every factor in the middle of its range, but for the given ones."""
    middle = torch.tensor([[(f.low + f.high) / 2 for f in FACTORS]])
    base = {"glasses": 0.0, "beard": 0.0, "baldness": 0.0, "age": 0.3, "gender": 0.0, "hair_length": 0.2}
    for name, value in (base | values).items():
        middle[0, INDEX[name]] = value
    return middle


def test_pictures_are_float32_in_range():
    picture = render(SAMPLE)
    assert picture.shape == (6, 3, 64, 64) and picture.dtype == torch.float32
    assert picture.min() >= -1 and picture.max() <= 1
    assert picture.std() > 0.3


def test_same_factors_same_pixels():
    assert torch.equal(render(SAMPLE), render(SAMPLE))


def test_a_picture_does_not_depend_on_its_batch():
    many = SAMPLE.repeat(5, 1)  # more than one chunk
    assert torch.allclose(render(many)[-6:], torch.cat([render(row[None]) for row in SAMPLE]), atol=1e-5)


def test_a_large_picture_shrinks_to_the_small_one():
    small, large = render(SAMPLE, 64), render(SAMPLE, 128)
    assert (F.avg_pool2d(large, 2) - small).abs().mean() < 0.01


def test_odd_resolutions_work():
    assert render(SAMPLE[:1], 50, supersample=1).shape == (1, 3, 50, 50)


@pytest.mark.parametrize("name", REGIONS)
def test_an_attribute_changes_the_picture_where_it_should(name):
    factor = FACTORS[INDEX[name]]
    low, high = (render(sitter(**{name: value})) for value in (factor.low, factor.high))
    difference = (high - low).abs().mean(dim=1)[0]
    top, bottom, left, right = REGIONS[name]
    inside = difference[top:bottom, left:right]
    assert inside.max() > 0.4 and inside.mean() > 0.03
    assert inside.sum() > 0.8 * difference.sum()


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f.name)
def test_every_factor_shows(factor):
    low, high = sitter(**{factor.name: factor.low}), sitter(**{factor.name: factor.high})
    assert (render(high) - render(low)).abs().max() > 0.1


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f.name)
def test_a_small_step_of_a_factor_is_a_small_step_of_the_picture(factor):
    index, step = INDEX[factor.name], 0.002 * (factor.high - factor.low)
    start = SAMPLE[:3].clone()
    start[:, index] = start[:, index].clamp(max=factor.high - step)
    moved = start.clone()
    moved[:, index] += step
    change = (render(moved) - render(start)).abs()
    assert change.mean() < 0.002 and change.max() < 0.1


def test_yaw_moves_the_nose_farther_than_the_background():
    straight, turned = render(sitter(yaw=0.0)), render(sitter(yaw=1.0))
    change = (turned - straight).abs().mean(dim=1)[0]
    assert change[:6].max() < 0.01 and change[30:42, 26:46].mean() > 0.1


def test_a_straight_face_in_even_light_is_symmetric_but_for_the_glint_of_its_eyes():
    picture = render(sitter(yaw=0.0, light=0.0, hair_parting=0.0))
    assert (picture - picture.flip(3)).abs().mean() < 0.01


def test_windows_never_cut_a_shape(monkeypatch):
    wide = factors_from_normals(1.5 * torch.randn(24, D, generator=torch.Generator().manual_seed(1)))
    windowed = render(wide)
    monkeypatch.setattr(Canvas, "window", lambda canvas, *_: canvas)
    assert torch.allclose(windowed, render(wide), atol=1e-5)


def test_factors_of_another_width_are_refused():
    with pytest.raises(PipelineError, match=rf"expected factors of shape \[N, {D}\], got \[2, 8\]"):
        render(torch.zeros(2, 8))
