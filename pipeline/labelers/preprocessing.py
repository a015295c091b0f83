"""From the generator's images to what a foreign network wants to see, as its declaration says."""

from __future__ import annotations

__all__ = ["ImageInput", "Preprocessing"]

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.sections import SectionError, require


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """How a network was shown its training images; declared, never guessed.

    Attributes:
        resize: images are brought to ``resize × resize`` pixels.
        crop: then the middle ``crop × crop`` pixels are kept; ``None`` keeps all.
        interpolation: how pixels are resampled.
        antialias: whether shrinking filters first, as PIL does; only for ``bilinear`` and ``bicubic``.
        channels: the order of the colour channels.
        low: the value of black before normalisation.
        high: the value of white before normalisation: 1.0, or 255.0 for networks of bytes.
        mean: subtracted from each channel, in the unit of ``low … high`` and in the order of ``channels``.
        std: what each channel is divided by afterwards.
    """

    resize: int
    crop: int | None = None
    interpolation: Literal["nearest", "bilinear", "bicubic", "area"]
    antialias: bool
    channels: Literal["rgb", "bgr"]
    low: float
    high: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check the ranges, and that the values go together."""
        require(self, "resize", at_least=1)
        require(self, "crop", at_least=1, at_most=self.resize)
        if self.antialias and self.interpolation in ("nearest", "area"):
            raise SectionError("antialias", f"expected false for {self.interpolation!r}, got true")
        if self.low >= self.high:
            raise SectionError("high", f"expected a number above low = {self.low}, got {self.high}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != 3:
                raise SectionError(name, f"expected 3 numbers, got {list(getattr(self, name))}")
        if min(self.std) <= 0:
            raise SectionError("std", f"expected numbers above 0, got {list(self.std)}")

    @property
    def side(self) -> int:
        """Width and height of what the network sees."""
        return self.crop or self.resize


class Preprocessing(nn.Module):
    """Resize, crop, reorder, rescale, normalise: on the device of the images, and differentiable.

    Example:
        >>> image = ImageInput(
        ...     resize=8, interpolation="area", antialias=False, channels="rgb",
        ...     low=0.0, high=255.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
        ... )
        >>> Preprocessing(image)(torch.ones(1, 3, 16, 16)).amax().item()
        255.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, image: ImageInput) -> None:
        super().__init__()
        self.image = image
        self.register_buffer("mean", torch.tensor(image.mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(image.std).reshape(3, 1, 1), persistent=False)

    def forward(self, img: Tensor) -> Tensor:
        """``img [N, 3, H, W]`` in [-1, 1] to ``[N, 3, side, side]`` as the network knows it, float32."""
        spec = self.image
        x = (img.float().clamp(-1, 1) + 1) / 2
        x = _crop(_resize(x, spec), spec.side)
        if spec.channels == "bgr":
            x = x.flip(1)
        return (x * (spec.high - spec.low) + spec.low - self.mean) / self.std


def _resize(x: Tensor, spec: ImageInput) -> Tensor:
    """``[N, 3, H, W]`` in [0, 1] to ``[N, 3, resize, resize]`` in the same range."""
    size = (spec.resize, spec.resize)
    if x.shape[2:] == size:
        return x
    # torch keeps "nearest" for an older rule that is off by half a pixel from what PIL does.
    mode = "nearest-exact" if spec.interpolation == "nearest" else spec.interpolation
    x = F.interpolate(x, size, mode=mode, antialias=spec.antialias)
    return x.clamp(0, 1)  # bicubic overshoots at edges, which a picture of bytes cannot


def _crop(x: Tensor, side: int) -> Tensor:
    """The middle ``side × side`` pixels, rounded as torchvision does."""
    top, left = (round((size - side) / 2) for size in x.shape[2:])
    return x[:, :, top : top + side, left : left + side]
