"""What the pipeline asks of an image classifier, an identity embedding and a perceptual network."""

from __future__ import annotations

__all__ = ["Embedder", "Labeler", "Perceptual"]

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from pipeline.attributes import Attribute, columns_of


class Labeler(nn.Module, ABC):
    """A frozen classifier of images; the judge is one too, trained apart from the labeler.

    Attributes:
        attributes: what it predicts, in the order of its outputs.
    """

    attributes: tuple[Attribute, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the output columns."""
        return columns_of(self.attributes)

    @abstractmethod
    def forward(self, img: Tensor) -> Tensor:
        """Raw outputs ``[N, len(columns)]``, logits or values, of ``img [N, 3, H, W]`` in [-1, 1]."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture``, ``attributes`` and the constructor arguments."""


class Embedder(nn.Module, ABC):
    """A frozen network that puts images of one person close together."""

    @abstractmethod
    def forward(self, img: Tensor) -> Tensor:
        """Unit vectors ``[N, E]`` of ``img [N, 3, H, W]`` in [-1, 1]; their dot product is the similarity."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture`` and the constructor arguments."""


class Perceptual(nn.Module, ABC):
    """A frozen network in whose features images are as far apart as people see them to be.

    No :class:`Embedder`: its features are not brought to unit length, for their lengths carry the weights of
    the layers.
    """

    @abstractmethod
    def forward(self, img: Tensor) -> Tensor:
        """Features ``[N, F]`` of ``img [N, 3, H, W]`` in [-1, 1]; their squared distance is the metric."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture`` and the constructor arguments."""
