"""The structural equations: ranges, kinds and the promised correlations."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import PipelineError
from portraits.factors import ATTRIBUTES, FACTORS, INDEX, NUISANCES, D, factors_from_normals

NORMALS = torch.randn(5000, D, generator=torch.Generator().manual_seed(0))
SAMPLE = dict(zip(INDEX, factors_from_normals(NORMALS).unbind(1), strict=True))


def correlation(a: str, b: str) -> float:
    return torch.corrcoef(torch.stack([SAMPLE[a], SAMPLE[b]]))[0, 1].item()


def test_the_first_eight_factors_are_the_attributes_in_order():
    names = ("gender", "glasses", "yaw", "pitch", "baldness", "beard", "age", "expression")
    assert tuple(f.name for f in FACTORS[:8]) == ATTRIBUTES == names


def test_every_name_occurs_once():
    assert len(INDEX) == D == len(ATTRIBUTES) + len(NUISANCES)


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f.name)
def test_values_stay_inside_their_range(factor):
    assert factor.low <= SAMPLE[factor.name].min() and SAMPLE[factor.name].max() <= factor.high


@pytest.mark.parametrize("factor", [f for f in FACTORS if f.kind == "continuous"], ids=lambda f: f.name)
def test_continuous_factors_do_not_saturate(factor):
    unit = (SAMPLE[factor.name] - factor.low) / (factor.high - factor.low)
    assert ((unit < 0.002) | (unit > 0.998)).float().mean() < 0.05


@pytest.mark.parametrize("name", ["gender", "glasses"])
def test_binary_factors_are_bimodal_and_both_sides_are_common(name):
    value = SAMPLE[name]
    assert ((value < 0.1) | (value > 0.9)).float().mean() > 0.7
    assert 0.25 < (value > 0.5).float().mean() < 0.75


@pytest.mark.parametrize(
    ("a", "b", "least"),
    [
        ("gender", "beard", 0.5),
        ("gender", "baldness", 0.4),
        ("age", "baldness", 0.3),
        ("age", "glasses", 0.3),
    ],
)
def test_promised_positive_correlation(a, b, least):
    assert correlation(a, b) > least


@pytest.mark.parametrize(
    ("a", "b", "most"),
    [("gender", "hair_length", -0.5), ("gender", "expression", -0.25), ("skin_tone", "hair_lightness", -0.3)],
)
def test_promised_negative_correlation(a, b, most):
    assert correlation(a, b) < most


def test_other_factors_follow_their_own_normal_alone():
    moved = NORMALS[:50].clone()
    moved[:, INDEX["nose_size"]] += 0.5
    change = factors_from_normals(moved) - factors_from_normals(NORMALS[:50])
    assert (change[:, INDEX["nose_size"]] > 0).all()
    assert change.abs().sum(dim=0).count_nonzero() == 1


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f.name)
def test_each_normal_moves_its_factor_upward(factor):
    index = INDEX[factor.name]
    u = torch.zeros(9, D, dtype=torch.float64)
    u[:, index] = torch.linspace(-2, 2, 9)
    assert (factors_from_normals(u)[:, index].diff() > 0).all()


def test_the_equations_are_differentiable():
    u = NORMALS[:4].clone().requires_grad_()
    factors_from_normals(u).sum().backward()
    assert u.grad is not None and u.grad.isfinite().all() and (u.grad != 0).any(dim=0).all()


def test_normals_of_another_width_are_refused():
    with pytest.raises(PipelineError, match=rf"expected normals of shape \[N, {D}\], got \[3, 8\]"):
        factors_from_normals(torch.zeros(3, 8))
