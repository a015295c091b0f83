"""3×3 convolutions with 36 multiplications for 16 results instead of 144: minimal filtering, F(4×4, 3×3).

Overlapping tiles of 6×6 pixels and the kernels are transformed, multiplied point by point (36 products of
matrices over the channels) and transformed back. The transforms cost per channel, the products per pair of
channels, so that wide layers gain and narrow ones do not. In single precision the rounding error is about
four times that of the direct convolution, 1e-5 of the largest result; lower precisions lose too much.

References:
    Fast Algorithms for Convolutional Neural Networks (Lavin and Gray, 2015),
    https://arxiv.org/abs/1509.09308
"""

from __future__ import annotations

__all__ = ["winograd_conv", "winograd_weight"]

import torch
import torch.nn.functional as F
from torch import Tensor

TILE, STEP = 6, 4  # pixels on a side of a tile, and from one to the next: what a tile gives
BAND = 1 << 23  # bytes of tiles that are worked on at once

_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
_KERNEL = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64
).div(24)
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)
INPUT, OUTPUT = torch.kron(_INPUT, _INPUT), torch.kron(_OUTPUT, _OUTPUT)  # for both axes at once


def winograd_weight(weight: Tensor) -> Tensor:
    """Transformed kernels ``[36, I, O]`` of a weight ``[O, I, 3, 3]``, of its type."""
    return torch.einsum("ak,oikl,bl->abio", _KERNEL, weight.double(), _KERNEL).flatten(0, 1).to(weight.dtype)


def winograd_conv(x: Tensor, weight: Tensor) -> Tensor:
    """A 3×3 convolution with padding 1.

    Arguments:
        x: ``[N, I, H, W]``, H and W multiples of 4.
        weight: ``[36, I, O]``, from :func:`winograd_weight`.

    Returns:
        ``[N, O, H, W]``, channels last in memory.
    """
    n, _, height, width = x.shape
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    bytes_a_row = TILE * TILE * n * (width // STEP) * max(weight.shape[1:]) * x.element_size()
    rows = STEP * max(1, BAND // bytes_a_row)
    tiles = [padded[:, i : i + rows + TILE - STEP] for i in range(0, height, rows)]
    return torch.cat([_band(band, weight) for band in tiles], dim=1).permute(0, 3, 1, 2)


def _band(x: Tensor, weight: Tensor) -> Tensor:
    """``[N, 4h + 2, 4w + 2, I]`` → ``[N, 4h, 4w, O]``."""
    (n, height, width, _), (_, inputs, outputs) = x.shape, weight.shape
    h, w = height // STEP, width // STEP
    tiles = x.unfold(1, TILE, STEP).unfold(2, TILE, STEP).permute(4, 5, 0, 1, 2, 3).reshape(TILE * TILE, -1)
    products = torch.bmm((INPUT.to(x.dtype) @ tiles).view(TILE * TILE, -1, inputs), weight)
    y = (OUTPUT.to(x.dtype) @ products.view(TILE * TILE, -1)).view(STEP, STEP, n, h, w, outputs)
    return y.permute(2, 3, 0, 4, 1, 5).reshape(n, STEP * h, STEP * w, outputs)
