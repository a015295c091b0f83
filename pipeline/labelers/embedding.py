"""Who is on the picture: an embedding in which images of one person lie close together."""

from __future__ import annotations

__all__ = ["ConvEmbedder"]

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.labelers.base import Embedder
from pipeline.labelers.convnet import WIDTHS, conv_trunk, fit_image


class ConvEmbedder(Embedder):
    """A plain convolutional network onto the unit sphere."""

    architecture = "conv_embedder"

    def __init__(self, dimensions: int = 64, resolution: int = 64, widths: Sequence[int] = WIDTHS) -> None:
        """A network with fresh weights.

        Arguments:
            dimensions: width E of the embedding.
            resolution: images of another size are averaged to this one.
            widths: channels of the five convolutions.
        """
        super().__init__()
        self.dimensions, self.resolution, self.widths = dimensions, resolution, tuple(widths)
        self.trunk, width = conv_trunk(resolution, widths)
        self.head = nn.Linear(width, dimensions)

    def project(self, img: Tensor) -> Tensor:
        """The embedding before it is brought to unit length, ``[N, E]``."""
        return self.head(self.trunk(fit_image(img, self.resolution)))

    def forward(self, img: Tensor) -> Tensor:
        """Unit vectors ``[N, E]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return F.normalize(self.project(img), dim=1)

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return {
            "architecture": self.architecture,
            "dimensions": self.dimensions,
            "resolution": self.resolution,
            "widths": list(self.widths),
        }
