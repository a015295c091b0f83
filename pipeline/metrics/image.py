"""How far an image is from another one.

Images are tensors ``[N, C, H, W]`` in [-1, 1]; each function gives one number per image, in float64. Values
outside the range (generators overshoot a little) are clamped first: a screen cannot show them.

The arithmetic goes piece by piece, a piece being what fits the caches of a processor: it is faster so, and
the memory that it takes grows neither with the number of images nor with their size.

References:
    | Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004
    | Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a perceptual
    metric", arXiv 1801.03924 (LPIPS)
"""

from __future__ import annotations

__all__ = ["PSNR_CEILING", "distances", "feature_distance", "psnr", "rmse", "ssim"]

from collections.abc import Iterable
from functools import cache, reduce

import torch
from torch import Tensor

from pipeline.errors import PipelineError

PEAK = 2.0  # the width of [-1, 1]
PSNR_CEILING = 100.0
"""Equal images would have an infinite PSNR, which no mean and no JSON file survives: it ends here, in dB."""

WINDOW = 11
SIGMA = 1.5

PIECE = {"cpu": 1 << 16, "cuda": 1 << 24}
"""Values of a piece: on a GPU more, for there each piece costs the start of some twenty kernels."""

TILE = 54
"""SSIM takes this many windows at once from either side of an image: 64 pixels."""


def distances(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """``rmse``, ``psnr`` and ``ssim`` of two batches of images."""
    root = rmse(a, b)
    return {"rmse": root, "psnr": _decibels(root), "ssim": ssim(a, b)}


def feature_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of each row of two sets of features ``[N, F]``, ``[N]``, at least 0.

    Of a perceptual network's features it is LPIPS: there, the weights and means are in the features.
    """
    return (a - b).square().sum(dim=1, dtype=torch.float64)


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Root of the mean squared difference over the pixels of each image, ``[N]``, in [0, 2]."""
    _check_comparable(a, b)
    values, piece = a[0].numel(), PIECE[a.device.type]
    sums = [
        _added((_shown(p) - _shown(q)).square().sum(dim=1) for p, q in _pairs(x, y, piece, dim=1))
        for x, y in _pairs(a.flatten(1), b.flatten(1), max(1, piece // values), dim=0)
    ]
    return (torch.cat(sums) / values).sqrt()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB for the peak 2 (the width of the range), ``[N]``, at most 100."""
    return _decibels(rmse(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image, ``[N]``, at most 1: the mean over channels and whole windows.

    Windows are 11×11 Gaussians with standard deviation 1.5 pixels; k1 = 0.01, k2 = 0.03, as in the paper.

    Raises:
        PipelineError: for images smaller than the window.
    """
    _check_comparable(a, b)
    channels, height, width = a.shape[1:]
    if min(height, width) < WINDOW:
        raise PipelineError(
            f"expected images of at least {WINDOW}x{WINDOW} pixels for SSIM, got {[height, width]}"
        )
    tiles = [(rows, columns) for rows in _tiles(height) for columns in _tiles(width)]
    tile = a[0][..., *tiles[0]].numel()
    sums = [
        _added(_similarity(x[..., *tile], y[..., *tile]) for tile in tiles)
        for x, y in _pairs(a, b, max(1, PIECE[a.device.type] // tile), dim=0)
    ]
    return torch.cat(sums) / (channels * (height - WINDOW + 1) * (width - WINDOW + 1))


def _added(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """The similarity summed over channels and whole windows, ``[N]``."""
    a, b = _shown(a), _shown(b)
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_a, mean_b, squares, product = _blur(torch.stack([a, b, a * a + b * b, a * b])).unbind()
    means, mean_product = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
    # σ_a² + σ_b² = E[a² + b²] - means, and σ_ab = E[ab] - mean_product: four blurred maps are enough.
    luminance = (2 * mean_product + c1) / (means + c1)
    structure = (2 * (product - mean_product) + c2) / (squares - means + c2)
    return (luminance * structure).flatten(1).sum(dim=1)


def _blur(maps: Tensor) -> Tensor:
    """Gaussian means over every whole window: ``[M, N, C, H, W]`` → ``[M, N, C, H-10, W-10]``.

    The window is separable, so it is a banded matrix from either side, which in float64 is much
    faster than a convolution.
    """
    height, width = maps.shape[-2:]
    return _band(height, maps.device) @ (maps @ _band(width, maps.device).T)


@cache
def _band(size: int, device: torch.device) -> Tensor:
    """The matrix ``[size - 10, size]`` whose row i holds the window's weights from column i on."""
    offsets = torch.arange(WINDOW, dtype=torch.float64, device=device) - WINDOW // 2
    weights = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    eye = torch.eye(size, dtype=torch.float64, device=device)
    return eye.unfold(0, WINDOW, 1) @ (weights / weights.sum())


def _tiles(size: int) -> list[slice]:
    """Pixels of each tile of one side: every whole window is in just one of them."""
    windows = size - WINDOW + 1
    return [slice(i, min(i + TILE, windows) + WINDOW - 1) for i in range(0, windows, TILE)]


def _pairs(a: Tensor, b: Tensor, size: int, dim: int) -> zip[tuple[Tensor, Tensor]]:
    """Parts of both tensors at the same places."""
    return zip(a.split(size, dim), b.split(size, dim), strict=True)


def _shown(values: Tensor) -> Tensor:
    return values.double().clamp(-1, 1)


def _decibels(root: Tensor) -> Tensor:
    """PSNR of an RMSE."""
    return 20 * torch.log10(PEAK / root.clamp(min=PEAK * 10 ** (-PSNR_CEILING / 20)))


def _check_comparable(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 4:
        raise PipelineError(
            f"expected two batches of images of one shape [N, C, H, W], got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
