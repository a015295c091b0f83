"""Resampling by two with StyleGAN2's [1, 3, 3, 1] filter, folded into ordinary convolutions.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
"""

from __future__ import annotations

__all__ = ["fir_filter", "interleave", "subpixel_basis", "upsample_image", "upsampling_conv"]

import torch
import torch.nn.functional as F
from torch import Tensor


def fir_filter() -> Tensor:
    """The 4×4 resampling filter: the outer product of [1, 3, 3, 1] with itself, of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64.0


def subpixel_basis(fir: Tensor) -> Tensor:
    """What each tap of a 3×3 kernel adds to the four kernels of its up-sampling convolution: ``[9, 4, 9]``.

    Transposed convolution of stride 2 and filtering with padding 1 merge into one transposed convolution
    with the 6×6 kernel ``K = W * 4·fir``. Its output pixel (2i+a, 2j+b) sees the taps ``K[a::2, b::2]``,
    reversed.
    """
    taps = torch.eye(9, dtype=fir.dtype, device=fir.device).view(9, 1, 3, 3)
    kernel = F.conv2d(taps, 4.0 * fir[None, None], padding=3).view(9, 3, 2, 3, 2)
    return kernel.permute(0, 2, 4, 1, 3).flip(3, 4).reshape(9, 4, 9)


def upsampling_conv(x: Tensor, weight: Tensor, fir: Tensor) -> Tensor:
    """Transposed convolution of stride 2, then the filter with gain 4.

    Arguments:
        x: ``[N, I, H, W]``; the result is ``[N, O, 2H, 2W]``, of its type.
        weight: ``[O, I, 3, 3]``.
        fir: the 4×4 filter.
    """
    out_channels, in_channels = weight.shape[:2]
    taps = weight.reshape(out_channels, in_channels, 9)
    kernels = torch.tensordot(taps, subpixel_basis(fir), dims=1)  # [O, I, 4, 9]
    kernels = kernels.permute(2, 0, 1, 3).reshape(4 * out_channels, in_channels, 3, 3)
    y = F.conv2d(x, kernels.to(x.dtype).contiguous(memory_format=torch.channels_last), padding=1)
    return interleave(y, out_channels)


def upsample_image(img: Tensor, fir: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter with gain 4: ``[N, C, H, W]`` → ``[N, C, 2H, 2W]``."""
    n, channels, height, width = img.shape
    delta = subpixel_basis(fir)[4].view(4, 1, 3, 3).to(img.dtype)
    y = F.conv2d(img.reshape(n * channels, 1, height, width), delta, padding=1)
    return F.pixel_shuffle(y, 2).view(n, channels, 2 * height, 2 * width)


def interleave(x: Tensor, channels: int) -> Tensor:
    """Sub-pixel groups ``[N, 2·2·C, H, W]`` to pixels ``[N, C, 2H, 2W]``, channels last in memory.

    A pixel shuffle whose channel comes last, so that whole pixels are moved instead of single numbers.
    """
    n, _, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
