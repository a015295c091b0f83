"""A plain strided convolutional classifier: the architecture of the embedded labeler.

Five convolutions with batch normalisation (arXiv 1502.03167), the first strided, and one linear layer that
still sees where on the picture things are, for pose and the distances in a face are positions. Ten million
multiply-adds an image.
"""

from __future__ import annotations

__all__ = ["ConvNet", "conv_trunk", "fit_image"]

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.attributes import Attribute, columns_of
from pipeline.labelers.base import Labeler

WIDTHS = (24, 32, 64, 96, 96)
STRIDES = (2, 2, 2, 1, 2)


class ConvNet(Labeler):
    """Named attributes of images, read by a plain convolutional network.

    Example:
        >>> net = ConvNet([Attribute(name="age")]).eval()
        >>> net(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """

    architecture = "convnet"
    shift: Tensor
    scale: Tensor

    def __init__(
        self, attributes: Iterable[Attribute], resolution: int = 64, widths: Sequence[int] = WIDTHS
    ) -> None:
        """A network with fresh weights.

        Arguments:
            attributes: what it predicts, in the order of its outputs.
            resolution: images of another size are averaged to this one.
            widths: channels of the five convolutions.
        """
        super().__init__()
        self.attributes, self.resolution, self.widths = tuple(attributes), resolution, tuple(widths)
        self.trunk, width = conv_trunk(resolution, widths)
        outputs = len(columns_of(self.attributes))
        self.head = nn.Linear(width, outputs)
        # The head learns standardised values; these bring them back to the attributes' own units.
        self.register_buffer("shift", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))

    def forward(self, img: Tensor) -> Tensor:
        """Logits or values ``[N, len(columns)]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return self.head(self.trunk(fit_image(img, self.resolution))) * self.scale + self.shift

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return {
            "architecture": self.architecture,
            "attributes": [attribute.to_json() for attribute in self.attributes],
            "resolution": self.resolution,
            "widths": list(self.widths),
        }


def conv_trunk(resolution: int, widths: Sequence[int]) -> tuple[nn.Sequential, int]:
    """Convolutions from ``[N, 3, resolution, resolution]`` to flat features ``[N, F]``, and F."""
    layers: list[nn.Module] = []
    size = resolution
    for i, (before, after, stride) in enumerate(zip((3, *widths), widths, STRIDES, strict=False)):
        kernel = 3 if i else 5
        layers.append(nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False))
        layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        size = -(-size // stride)
    return nn.Sequential(*layers, nn.Flatten()), size * size * widths[-1]


def fit_image(img: Tensor, resolution: int) -> Tensor:
    """Images ``[N, 3, H, W]`` averaged to ``[N, 3, resolution, resolution]``; channels last in memory."""
    if img.shape[2:] != (resolution, resolution):
        img = F.interpolate(img, (resolution, resolution), mode="area")
    return img.contiguous(memory_format=torch.channels_last)
