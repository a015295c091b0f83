"""Classifiers made of others: some attributes of one, or all attributes of several."""

from __future__ import annotations

__all__ = ["Combined", "Selection"]

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.attributes import Attribute
from pipeline.labelers.base import Labeler


class Selection(Labeler):
    """Some attributes of another labeler, in an order of one's own."""

    columns_kept: Tensor

    def __init__(self, labeler: Labeler, attributes: Sequence[Attribute]) -> None:
        """A view of ``labeler`` that keeps ``attributes``, each of which it must have."""
        super().__init__()
        self.labeler, self.attributes = labeler, tuple(attributes)
        kept = [labeler.columns.index(column) for column in self.columns]
        self.register_buffer("columns_kept", torch.tensor(kept), persistent=False)

    def forward(self, img: Tensor) -> Tensor:
        """Raw outputs ``[N, len(columns)]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return self.labeler(img)[:, self.columns_kept]

    def config(self) -> dict[str, Any]:
        """The whole labeler's configuration."""
        return self.labeler.config()


class Combined(Labeler):
    """The attributes of several labelers, one labeler after the other."""

    architecture = "combined"

    def __init__(self, members: Sequence[Labeler], config: dict[str, Any]) -> None:
        """A labeler of all that ``members`` know, no attribute twice; ``config`` is what its folder says."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.attributes = tuple(attribute for member in members for attribute in member.attributes)
        self._config = config

    def forward(self, img: Tensor) -> Tensor:
        """Raw outputs ``[N, len(columns)]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return torch.cat([member(img).float() for member in self.members], dim=1)

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return self._config
