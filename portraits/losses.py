"""How far a generated picture is from the rendered one: what distillation minimises, and what it reports."""

from __future__ import annotations

__all__ = ["distillation_loss", "edge_weight", "face_window", "psnr"]

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

EDGE_GAIN = 3.0
FACE_GAIN = 4.0
FACE_CENTRE, FACE_WIDTH = (0.5, 0.54), 0.15  # in widths of the picture, from its left upper corner


def distillation_loss(img: Tensor, target: Tensor, scales: int = 3) -> Tensor:
    """L1 + MSE, weighted toward edges, + L1 of the gradients, averaged over ``scales`` resolutions.

    Arguments:
        img: ``[N, 3, H, W]`` in about [-1, 1].
        target: of the same shape.
        scales: how often the pictures are halved and compared again, and once.
    """
    total = img.new_zeros([])
    for scale in range(scales):
        if scale:
            img, target = F.avg_pool2d(img, 2), F.avg_pool2d(target, 2)
        error = img - target
        total = total + ((error.abs() + error.square()) * edge_weight(target)).mean()
        total = total + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
    return total / scales


def edge_weight(target: Tensor) -> Tensor:
    """Weights ``[N, 1, H, W]`` of mean 1, high in the face and where the target changes.

    Eyes, mouth and rims carry most attributes on few pixels; by area alone, hair and background would rule.
    """
    grey = F.pad(target.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = (grey[:, :, 1:-1, 2:] - grey[:, :, 1:-1, :-2]).abs()
    down = (grey[:, :, 2:, 1:-1] - grey[:, :, :-2, 1:-1]).abs()
    weight = 1.0 + EDGE_GAIN * F.max_pool2d(across + down, 3, stride=1, padding=1)
    weight = weight * (1.0 + FACE_GAIN * face_window(target.shape[-1]).to(target))
    return weight / weight.mean(dim=(2, 3), keepdim=True)


@functools.cache
def face_window(resolution: int) -> Tensor:
    """A bell ``[resolution, resolution]`` of height 1 over eyes, nose and mouth."""
    x = (torch.arange(resolution) + 0.5) / resolution
    across, down = ((x - FACE_CENTRE[0]) / FACE_WIDTH).square(), ((x - FACE_CENTRE[1]) / FACE_WIDTH).square()
    return torch.exp(-0.5 * (down[:, None] + across[None, :]))


def psnr(img: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image ``[N, 3, H, W]`` in [-1, 1], in dB: ``[N]``."""
    return 10.0 * torch.log10(4.0 / (img.clamp(-1, 1) - target).square().mean(dim=(1, 2, 3)))
