"""How far an image is from another one.

Images are tensors ``[N, C, H, W]`` in [-1, 1]; each function gives one number per image, in float64. Values
outside the range (generators overshoot a little) are clamped first: a screen cannot show them.

References:
    | Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004
"""

from __future__ import annotations

__all__ = ["PSNR_CEILING", "psnr", "rmse", "ssim"]

import torch
from torch import Tensor

from pipeline.errors import PipelineError

PEAK = 2.0  # the width of [-1, 1]
PSNR_CEILING = 100.0
"""Equal images would have an infinite PSNR, which no mean and no JSON file survives: it ends here, in dB."""

WINDOW = 11
SIGMA = 1.5


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Root of the mean squared difference over the pixels of each image, ``[N]``, in [0, 2]."""
    a, b = _comparable(a, b)
    return (a - b).square().flatten(1).mean(dim=1).sqrt()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for the peak 2 (the width of the range), ``[N]``, at most 100."""
    floor = PEAK * 10 ** (-PSNR_CEILING / 20)
    return 20 * torch.log10(PEAK / rmse(a, b).clamp(min=floor))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, ``[N]``, at most 1: the mean over channels and whole windows.

    Windows are 11×11 Gaussians with standard deviation 1.5 pixels; k1 = 0.01, k2 = 0.03, as in the paper.

    Raises:
        PipelineError: for images smaller than the window.
    """
    a, b = _comparable(a, b)
    if min(a.shape[-2:]) < WINDOW:
        raise PipelineError(
            f"expected images of at least {WINDOW}x{WINDOW} pixels for SSIM, got {list(a.shape[-2:])}"
        )
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_a, mean_b, aa, bb, ab = _blur(torch.stack([a, b, a * a, b * b, a * b])).unbind()
    var_a, var_b, cov = aa - mean_a * mean_a, bb - mean_b * mean_b, ab - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return (luminance * structure).flatten(1).mean(dim=1)


def _comparable(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    if a.shape != b.shape or a.ndim != 4:
        raise PipelineError(
            f"expected two batches of images of one shape [N, C, H, W], got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    return a.double().clamp(-1, 1), b.double().clamp(-1, 1)


def _blur(maps: Tensor) -> Tensor:
    """Gaussian means over every whole window: ``[M, N, C, H, W]`` → ``[M, N, C, H-10, W-10]``.

    The window is separable, so it is a banded matrix from either side, which in float64 is much
    faster than a convolution.
    """
    height, width = maps.shape[-2:]
    return _band(height, maps) @ maps @ _band(width, maps).T


def _band(size: int, like: Tensor) -> Tensor:
    """The matrix ``[size - 10, size]`` whose row i holds the window's weights from column i on."""
    offsets = torch.arange(WINDOW, dtype=like.dtype, device=like.device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    return torch.eye(size, dtype=like.dtype, device=like.device).unfold(0, WINDOW, 1) @ (
        weights / weights.sum()
    )
