"""From a generator's images to pixels."""

from __future__ import annotations

__all__ = ["to_pixels"]

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Images ``[N, 3, H, W]`` in [-1, 1] as pixels ``[N, H, W, 3]``; what overshoots the range is clamped."""
    pixels: NDArray[np.uint8] = (
        ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    )
    return pixels
