"""The portrait renderer: factors in, pictures out, smooth in every factor and at any resolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.errors import PipelineError
from portraits import body, features
from portraits.face import Face
from portraits.factors import D
from portraits.shapes import Canvas

__all__ = ["render"]

_CHUNK_PIXELS = 1 << 18  # canvas pixels painted at once: the fields of a chunk stay in the processor's cache


@torch.no_grad()
def render(factors: Tensor, resolution: int = 64, supersample: int = 2) -> Tensor:
    """Paint portraits.

    Arguments:
        factors: `[N, D]` in the order of `FACTORS`.
        resolution: width and height R of a picture in pixels.
        supersample: canvas pixels per picture pixel and axis.

    Returns:
        `[N, 3, R, R]`, float32 in [-1, 1], on the device of `factors`.

    Raises:
        PipelineError: if `factors` is not `[N, D]`.
    """
    if factors.ndim != 2 or factors.shape[1] != D:
        shape = list(factors.shape)
        raise PipelineError(f"expected factors of shape [N, {D}], got {shape}: pass one row per portrait")
    size = resolution * supersample
    chunk = max(1, _CHUNK_PIXELS // size**2)
    with torch.device(factors.device):
        pictures = [F.avg_pool2d(_paint(part, size), supersample) for part in factors.float().split(chunk)]
    return torch.cat(pictures).mul_(2).sub_(1).clamp_(-1, 1)


def _paint(factors: Tensor, size: int) -> Tensor:
    """Layers from the back to the front, `[N, 3, size, size]` in [0, 1]."""
    c, face = Canvas.blank(len(factors), size, factors.device), Face(factors)
    shape = body.outline(c, face)
    body.paint_background(c, face)
    body.paint_hair_behind(c, face, shape)
    body.paint_shirt_and_neck(c, face)
    body.paint_ears(c, face)
    body.paint_head(c, face, shape)
    features.paint_cheeks(c, face)
    features.paint_wrinkles(c, face)
    body.paint_beard(c, face, shape)
    features.paint_eyes(c, face)
    features.paint_nose(c, face)
    features.paint_mouth(c, face)
    features.paint_temples(c, face)
    body.paint_hair_in_front(c, face, shape)
    features.paint_brows(c, face)
    features.paint_glasses(c, face)
    return c.image
