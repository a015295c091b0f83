"""A residual classifier of depthwise and pointwise convolutions: the architecture of the embedded judge.

A patch-like stem and blocks in the manner of ConvNeXt (arXiv 2201.03545), with batch instead of layer
normalisation, and global average pooling. It shares nothing with the labeler's network, so that the two err
differently.
"""

from __future__ import annotations

__all__ = ["ResNet"]

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.attributes import Attribute, columns_of
from pipeline.labelers.base import Labeler
from pipeline.labelers.convnet import fit_image

WIDTHS = (32, 64, 128)
DEPTH = 2


class ResNet(Labeler):
    """Named attributes of images, read by a residual network.

    Example:
        >>> net = ResNet([Attribute(name="age")]).eval()
        >>> net(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """

    architecture = "resnet"
    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        attributes: Iterable[Attribute],
        resolution: int = 64,
        widths: Sequence[int] = WIDTHS,
        depth: int = DEPTH,
    ) -> None:
        """A network with fresh weights.

        Arguments:
            attributes: what it predicts, in the order of its outputs.
            resolution: images of another size are averaged to this one.
            widths: channels of the stages; the first is at a quarter of the resolution, each further at half
                of the one before.
            depth: residual blocks in each stage.
        """
        super().__init__()
        self.attributes, self.resolution = tuple(attributes), resolution
        self.widths, self.depth = tuple(widths), depth
        self.trunk = _trunk(self.widths, depth)
        outputs = len(columns_of(self.attributes))
        self.head = nn.Linear(self.widths[-1], outputs)
        # The head learns standardised values; these bring them back to the attributes' own units.
        self.register_buffer("shift", torch.zeros(outputs))
        self.register_buffer("scale", torch.ones(outputs))

    def features(self, img: Tensor) -> Tensor:
        """What the last linear layer sees of ``img [N, 3, H, W]``: ``[N, widths[-1]]``."""
        return self.trunk(fit_image(img, self.resolution))

    def forward(self, img: Tensor) -> Tensor:
        """Logits or values ``[N, len(columns)]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return self.head(self.features(img)) * self.scale + self.shift

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return {
            "architecture": self.architecture,
            "attributes": [attribute.to_json() for attribute in self.attributes],
            "resolution": self.resolution,
            "widths": list(self.widths),
            "depth": self.depth,
        }


class Block(nn.Module):
    """x + pointwise(relu(pointwise(norm(depthwise(x))))): space and channels are mixed apart."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2, groups=width, bias=False),
            nn.BatchNorm2d(width),
            nn.Conv2d(width, 2 * width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[N, width, H, W]`` to the same shape."""
        return x + self.mix(x)


def _trunk(widths: Sequence[int], depth: int) -> nn.Sequential:
    """Stem, stages of residual blocks with strided convolutions between, and the mean over the picture."""
    stem = nn.Conv2d(3, widths[0], 7, stride=4, padding=3, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(widths[0])]
    for i, width in enumerate(widths):
        if i:
            layers += [nn.BatchNorm2d(widths[i - 1]), nn.Conv2d(widths[i - 1], width, 3, stride=2, padding=1)]
        layers += [Block(width) for _ in range(depth)]
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]), nn.ReLU(), *mean)
