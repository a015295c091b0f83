"""The pull-back metric: what it estimates, what its factor is, how it converges, and what is on disk."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.generators.low_rank import quadratic_form, truncate
from pipeline.generators.pullback import (
    convergence,
    image_noise,
    image_products,
    load_layer_metrics,
    load_metric,
    metric_sum,
    save_layer_metrics,
    save_metric,
    stable_after,
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


def jacobian_of(generator, w):
    return torch.func.jacrev(lambda v: generator.synthesize(v[None]).flatten())(w).double()


def test_image_noise_is_white():
    noise = image_noise(0, np.arange(500), 33).astype(float)
    assert set(np.unique(noise)) == {-1, 1}
    np.testing.assert_allclose(noise.T @ noise / 500, np.eye(33), atol=0.25)


def test_a_row_of_image_noise_depends_on_seed_and_id_alone():
    noise = image_noise(7, np.array([3, 1 << 62, 4]), 20)
    np.testing.assert_array_equal(image_noise(7, np.array([1 << 62]), 20)[0], noise[1])
    assert not np.array_equal(image_noise(8, np.array([3]), 20)[0], noise[0])


@pytest.mark.parametrize("noises", [1, 4])
def test_products_estimate_the_jacobian_square(generator, noises):
    w = one_style(generator, 1500 // noises)
    total = metric_sum(generator.w_dim)
    total.add(image_products(generator.prepare(), w, np.arange(len(w)), seed=0, noises=noises))
    exact = jacobian_of(generator, w[0])
    exact = exact.T @ exact / PIXELS
    assert (total.metric(1 / (1500 * PIXELS)) - exact).norm() < 0.12 * exact.norm()


@pytest.mark.parametrize("noises", [1, 2])
def test_products_are_vector_jacobian_products(generator, noises):
    w = one_style(generator, 1)
    ids = 5 * noises + np.arange(noises) + (1 << 62)
    expected = torch.from_numpy(image_noise(3, ids, PIXELS)).double() @ jacobian_of(generator, w[0])
    found = image_products(generator.prepare(), w, np.array([5]), seed=3, noises=noises)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_products_do_not_depend_on_batches(generator):
    w = generator.mapping(torch.randn(6, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    whole = image_products(generator.synthesize, w, np.arange(6), 1, 2)
    parts = [
        image_products(generator.synthesize, w[i], np.arange(6)[i], 1, 2) for i in ([0, 1], [2, 3, 4, 5])
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-5, atol=1e-6)


def test_products_of_layers_add_up_to_those_of_w(generator):
    w, ids = one_style(generator, 2), np.arange(2)
    layers = image_products(generator.synthesis, generator.broadcast(w), ids, 0, 3)
    assert layers.shape == (6, generator.num_ws, generator.w_dim)
    torch.testing.assert_close(layers.sum(dim=1), image_products(generator.synthesize, w, ids, 0, 3))


def test_products_leave_the_generator_alone(generator):
    image_products(generator.prepare(), one_style(generator, 1), np.array([0]), seed=0)
    assert all(p.grad is None for p in generator.parameters())


def test_form_predicts_small_image_changes(generator):
    w = one_style(generator, 1)
    local = jacobian_of(generator, w[0])
    local = local.T @ local / PIXELS
    step = 1e-2 * torch.randn(1, generator.w_dim, generator=torch.Generator().manual_seed(0))
    change = (generator.synthesize(w + step) - generator.synthesize(w)).double().square().mean()
    assert float((step.double() @ local @ step.double().T).squeeze() / change) == pytest.approx(1, rel=0.02)


def test_whitened_square_is_the_quadratic_form(metric):
    d = torch.randn(5, len(metric), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    factor = whitening(metric).factor
    torch.testing.assert_close((d @ factor.T).square().sum(1), quadratic_form(metric, d))


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


def test_half_of_the_products_is_off_by_the_error_of_the_whole():
    truth = torch.diag(torch.arange(8.0, 0, -1, dtype=torch.float64))
    rows = torch.randn(40_000, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = rows * truth.diagonal().sqrt()
    errors, changes = [], []
    for part in rows.split(400):
        half, whole = (part[:count].T @ part[:count] / count for count in (200, 400))
        errors.append(float((whole - truth).norm()))
        changes.append(float((whole - half).norm()))
    assert np.mean(changes) == pytest.approx(np.mean(errors), rel=0.05)


@pytest.mark.parametrize(
    ("changes", "expected"), [((0.2, 0.04, 0.02), 20), ((0.04, 0.2, 0.02), 40), ((0.2, 0.1, 0.06), None)]
)
def test_stable_after_the_last_large_change(changes, expected):
    rows = [{"products": n, "spectrum_change": c} for n, c in zip((10, 20, 40), changes, strict=True)]
    assert stable_after(rows, 0.05) == expected


def test_round_trip(metric, tmp_path):
    save_metric(tmp_path, metric, {"products": 256})
    torch.testing.assert_close(load_metric(tmp_path), metric, rtol=0, atol=0)


def test_round_trip_of_low_rank_metrics(metric, tmp_path):
    layers = [truncate(metric, 3), truncate(2 * metric, 3)]
    save_metric(tmp_path, layers[0], {})
    save_layer_metrics(tmp_path, layers)
    for found, saved in zip(
        [load_metric(tmp_path), *load_layer_metrics(tmp_path)], [layers[0], *layers], strict=True
    ):
        assert found.factor.equal(saved.factor) and found.diagonal.equal(saved.diagonal)


def test_missing_and_damaged_files_are_named(metric, tmp_path):
    with pytest.raises(PipelineError, match="metric.safetensors.*run the stage"):
        load_metric(tmp_path)
    with pytest.raises(PipelineError, match="layers.safetensors.*per_layer: true"):
        load_layer_metrics(tmp_path)
    save_metric(tmp_path, metric, {})
    (tmp_path / "metric.safetensors").write_bytes(b"no tensors")
    with pytest.raises(PipelineError, match="damaged"):
        load_metric(tmp_path)
