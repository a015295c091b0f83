"""Distances of distributions against SciPy, torchmetrics, double loops, and Gaussians of known distance."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import LedoitWolf

from pipeline.errors import PipelineError
from pipeline.labelers.optional import import_optional
from pipeline.metrics import realism
from pipeline.metrics.realism import Mahalanobis, frechet_distance, kernel_distance


def features(rows, width=6, seed=0):
    """Correlated features of unequal scales, off the origin."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) + rng.normal(size=width)


def by_torchmetrics(module, metric, a, b, **settings):
    import_optional("timm", "timm")  # lets torchvision in, which torchmetrics imports
    identity = torch.nn.Identity()
    identity.num_features = a.shape[1]
    made = getattr(importlib.import_module(f"torchmetrics.image.{module}"), metric)
    found = made(feature=identity, **settings).set_dtype(torch.float64)
    found.update(torch.from_numpy(a), real=True)
    found.update(torch.from_numpy(b), real=False)
    return found.compute()


def with_moments(rows, mean, covariance, seed=0):
    """Rows whose sample mean and unbiased covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(rows, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize("rows", [(40, 50), (4, 50), (4, 3)], ids=["many", "few", "few of both"])
def test_frechet_is_scipys_matrix_root(rows):
    a, b = features(rows[0]), features(rows[1], seed=1)
    first, second = np.cov(a.T), np.cov(b.T)
    root = sqrtm(sqrtm(first) @ second @ sqrtm(first))  # sqrtm loses digits on singular products
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(first + second - 2 * root.real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_known_gaussians():
    # Covariances that commute: the distance is that of the means and of the standard deviations.
    a = with_moments(30, np.array([0.0, 0.0, 0.0]), np.diag([1.0, 4.0, 9.0]))
    b = with_moments(20, np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]), seed=1)
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + 1 + 0 + 4)


def test_frechet_of_equal_sets_is_nothing_for_fewer_rows_than_features():
    few = features(5, width=64)
    assert 0 <= frechet_distance(few, few[::-1]) < 1e-9 * np.square(few).sum()


def test_frechet_is_torchmetrics():
    a, b = features(40), features(50, seed=1)
    expected = by_torchmetrics("fid", "FrechetInceptionDistance", a, b, input_img_size=(6,))
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_kernel_distance_is_a_double_loop(monkeypatch):
    monkeypatch.setattr(realism, "BLOCK", 4)  # several blocks, the last ones not full
    a, b = features(9), features(7, seed=1)

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    within = [
        np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (a, b)
    ]
    across = np.mean([kernel(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * across)


@pytest.mark.filterwarnings("ignore:.*will save all extracted features:UserWarning")
def test_kernel_distance_is_torchmetrics():
    a, b = features(30), features(30, seed=1)
    mean, _ = by_torchmetrics("kid", "KernelInceptionDistance", a, b, subsets=1, subset_size=30)
    assert kernel_distance(a, b) == pytest.approx(float(mean), rel=1e-6)


def test_kernel_distance_is_unbiased():
    rng = np.random.default_rng(0)
    same = [kernel_distance(rng.normal(size=(20, 3)), rng.normal(size=(20, 3))) for _ in range(400)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 20
    assert min(same) < 0 < max(same)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_distances_grow_with_the_shift(distance):
    a = features(60)
    found = [distance(a, features(60, seed=0) + shift) for shift in (0.0, 0.5, 2.0)]
    assert found == sorted(found) and found[1] > found[0] + 0.1


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("other", [(5, 7), (1, 6), (6,)])
def test_sets_that_do_not_compare_are_refused(distance, other):
    with pytest.raises(PipelineError, match="one width"):
        distance(np.zeros((5, 6)), np.zeros(other))


@pytest.mark.parametrize("rows", [200, 5], ids=["many", "fewer than dimensions"])
def test_mahalanobis_is_scipys_with_scikit_learns_covariance_in_training_units(rows):
    w, other = features(rows, width=8), features(20, width=8, seed=1)
    fitted = LedoitWolf().fit(w)

    def of(points):
        return np.array([mahalanobis(x, fitted.location_, fitted.precision_) for x in points])

    expected = of(other) / np.sqrt(np.square(of(w)).mean())
    np.testing.assert_allclose(Mahalanobis.fit(w)(other), expected, rtol=1e-6)


def test_training_rows_are_at_distance_one_whatever_their_scale_and_number_of_dimensions():
    for width in (2, 32):
        w = features(300, width=width) * 100
        assert np.sqrt(np.square(Mahalanobis.fit(w)(w)).mean()) == pytest.approx(1)


def test_rows_that_no_training_row_is_like_are_far():
    w = features(300)
    w[:, 5] = w[:, 0]  # a direction that never varies
    forbidden = w.mean(axis=0) + np.array([3.0, 0, 0, 0, 0, -3.0])
    assert Mahalanobis.fit(w)(forbidden[None])[0] > 5


def test_two_rows_have_a_finite_distance():
    assert np.isfinite(Mahalanobis.fit(np.array([[0.0, 1.0], [1.0, 0.0]]))(np.zeros((1, 2)))).all()


def test_rows_without_a_covariance_are_refused():
    for rows in (np.zeros((5, 3)), np.ones((1, 3)), np.arange(3.0)):
        with pytest.raises(PipelineError, match="that differ"):
            Mahalanobis.fit(rows)


def test_rows_of_another_width_are_refused():
    with pytest.raises(PipelineError, match=r"\[N, 6\]"):
        Mahalanobis.fit(features(20))(np.zeros((3, 7)))
