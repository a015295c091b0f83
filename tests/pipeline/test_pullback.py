"""The pull-back metric: what it estimates, what its factor is, and what is on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.data import row_normals
from pipeline.errors import PipelineError
from pipeline.generators.pullback import (
    convergence,
    load_metric,
    metric_products,
    normalise,
    save_metric,
    whitening,
)
from tests.fakes import FakeGenerator, fake_metric

PIXELS = 3 * 8 * 8


@pytest.fixture(scope="module")
def generator():
    return FakeGenerator()


@pytest.fixture(scope="module")
def metric(generator):
    return fake_metric(generator, count=256)


def one_style(generator, count):
    return generator.mapping(torch.ones(1, generator.z_dim)).expand(count, -1)


def test_products_estimate_jacobian_square(generator):
    w = one_style(generator, 1500)
    exact = torch.func.jacrev(lambda v: generator.synthesize(v[None]).flatten())(w[0]).double()
    exact = exact.T @ exact / PIXELS
    estimate = normalise(metric_products(generator, w, np.arange(1500), seed=0), 1500, PIXELS)
    assert (estimate - exact).norm() < 0.12 * exact.norm()


def test_products_are_vector_jacobian_products(generator):
    w = one_style(generator, 1)
    noise = torch.from_numpy(row_normals(3, np.array([5 + (1 << 62)]), PIXELS)).double()
    jacobian = torch.func.jacrev(lambda v: generator.synthesize(v[None]).flatten())(w[0]).double()
    v = noise @ jacobian
    torch.testing.assert_close(
        metric_products(generator, w, np.array([5]), seed=3), v.T @ v, rtol=1e-4, atol=1e-5
    )


def test_products_do_not_depend_on_batches(generator):
    w = generator.mapping(torch.randn(6, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    whole = metric_products(generator, w, np.arange(6), seed=1)
    parts = metric_products(generator, w[:2], np.arange(2), 1) + metric_products(
        generator, w[2:], np.arange(2, 6), 1
    )
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)


def test_products_leave_the_generator_alone(generator):
    metric_products(generator, one_style(generator, 1), np.array([0]), seed=0)
    assert all(p.grad is None for p in generator.parameters())


def test_form_predicts_small_image_changes(generator):
    w = one_style(generator, 1)
    local = torch.func.jacrev(lambda v: generator.synthesize(v[None]).flatten())(w[0]).double()
    local = local.T @ local / PIXELS
    step = 1e-2 * torch.randn(1, generator.w_dim, generator=torch.Generator().manual_seed(0))
    change = (generator.synthesize(w + step) - generator.synthesize(w)).double().square().mean()
    assert float((step.double() @ local @ step.double().T).squeeze() / change) == pytest.approx(1, rel=0.02)


def test_whitened_square_is_the_quadratic_form(metric):
    d = torch.randn(5, len(metric), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factor = whitening(metric).factor
    torch.testing.assert_close((d @ factor.T).square().sum(1), torch.einsum("ni,ij,nj->n", d, metric, d))


def test_whitening_inverse(metric):
    found = whitening(metric, rank=5)
    torch.testing.assert_close(found.factor @ found.inverse, torch.eye(5, dtype=torch.float64))


def test_whitening_holds_the_energy_asked_for(metric):
    found = whitening(metric, energy=0.9)
    smaller = whitening(metric, rank=len(found.factor) - 1)
    assert smaller.energy < 0.9 <= found.energy


def test_whitening_refuses_too_high_a_rank(metric):
    with pytest.raises(PipelineError, match="rank in"):
        whitening(metric, rank=len(metric) + 1)


def test_whitening_refuses_nan():
    with pytest.raises(PipelineError, match="finite"):
        whitening(torch.full((3, 3), torch.nan))


def test_convergence_of_equal_metrics_is_perfect(metric):
    report = convergence(metric, metric, directions=4)
    assert report == pytest.approx({"trace_change": 0, "spectrum_change": 0, "overlap": 1}, abs=1e-9)


def test_convergence_sees_a_change(metric):
    other = metric.roll((3, 3), (0, 1)) * 1.5
    report = convergence(other, metric, directions=4)
    assert report["trace_change"] == pytest.approx(0.5)
    assert report["overlap"] < 0.9


def test_round_trip(metric, tmp_path):
    save_metric(tmp_path, metric, {"products": 256})
    torch.testing.assert_close(load_metric(tmp_path), metric, rtol=0, atol=0)


def test_missing_and_damaged_files_are_named(metric, tmp_path):
    with pytest.raises(PipelineError, match="metric.safetensors"):
        load_metric(tmp_path)
    save_metric(tmp_path, metric, {})
    (tmp_path / "metric.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PipelineError, match="damaged"):
        load_metric(tmp_path)
