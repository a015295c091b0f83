"""Image metrics against SciPy and against images whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pipeline.errors import PipelineError
from pipeline.metrics.image import PSNR_CEILING, distances, psnr, rmse, ssim


@pytest.fixture
def pair():
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(3, 3, 24, 20, generator=rng) * 2 - 1
    return a, (a + 0.3 * torch.randn(a.shape, generator=rng)).clamp(-1, 1)


def reference_ssim(a, b):
    """The paper's formula on one channel with SciPy's Gaussian, whole windows only."""

    def blur(x):
        return gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5]

    a, b = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    values = (
        (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    return values.mean()


def test_ssim_matches_scipy(pair):
    a, b = pair
    expected = [
        np.mean([reference_ssim(x, y) for x, y in zip(i, j, strict=True)])
        for i, j in zip(a.numpy(), b.numpy(), strict=True)
    ]
    np.testing.assert_allclose(ssim(a, b).numpy(), expected, rtol=1e-10)


def test_images_of_many_tiles_match_scipy():
    a = torch.rand(2, 1, 66, 131, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    b = (a * 0.8).roll(1, dims=3)
    expected = [reference_ssim(x[0], y[0]) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(ssim(a, b).numpy(), expected, rtol=1e-10)


def test_images_larger_than_a_piece_match_numpy():
    a = torch.rand(2, 3, 160, 170, generator=torch.Generator().manual_seed(1)) * 2 - 1
    root = a.double().square().mean(dim=(1, 2, 3)).sqrt()
    np.testing.assert_allclose(rmse(a, torch.zeros_like(a)).numpy(), root.numpy(), rtol=1e-12)


def test_all_distances_at_once(pair):
    found = distances(*pair)
    assert {name: values.tolist() for name, values in found.items()} == {
        metric.__name__: metric(*pair).tolist() for metric in (rmse, psnr, ssim)
    }


def test_rmse_and_psnr_match_numpy(pair):
    a, b = (x.double().numpy() for x in pair)
    root = np.sqrt(((a - b) ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(rmse(*pair).numpy(), root, rtol=1e-12)
    np.testing.assert_allclose(psnr(*pair).numpy(), 20 * np.log10(2 / root), rtol=1e-12)


def test_rmse_is_a_root_not_a_square():
    assert rmse(torch.zeros(1, 3, 12, 12), torch.full((1, 3, 12, 12), 0.5)).item() == 0.5


def test_equal_images_are_as_close_as_can_be(pair):
    a, _ = pair
    assert rmse(a, a).tolist() == [0, 0, 0]
    assert psnr(a, a).tolist() == pytest.approx([PSNR_CEILING] * 3)
    assert ssim(a, a).tolist() == pytest.approx([1, 1, 1])


def test_what_lies_outside_the_range_does_not_count():
    assert rmse(torch.full((1, 3, 12, 12), 1.0), torch.full((1, 3, 12, 12), 1.7)).item() == 0


def test_accumulates_in_float64(pair):
    assert {f(*(x.half() for x in pair)).dtype for f in (rmse, psnr, ssim)} == {torch.float64}


@pytest.mark.parametrize("metric", [rmse, psnr, ssim])
def test_shapes_that_differ_are_refused(metric):
    with pytest.raises(PipelineError, match="one shape"):
        metric(torch.zeros(1, 3, 12, 12), torch.zeros(1, 3, 12, 13))


def test_ssim_refuses_images_smaller_than_its_window():
    with pytest.raises(PipelineError, match="11x11"):
        ssim(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
