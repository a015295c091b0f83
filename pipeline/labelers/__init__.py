"""Image classifiers and identity embeddings: one architecture a file, one way to read them from disk.

A network of one's own is a folder with ``weights.safetensors`` and ``config.json`` whose ``architecture`` is
registered here; nothing that a folder holds is ever executed.
"""

from __future__ import annotations

__all__ = ["ConvEmbedder", "ConvNet", "Embedder", "Labeler", "ResNet", "load_embedder", "load_labeler"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.attributes import Attribute, nearest_name
from pipeline.errors import PipelineError
from pipeline.labelers.base import Embedder, Labeler
from pipeline.labelers.convnet import ConvNet
from pipeline.labelers.embedding import ConvEmbedder
from pipeline.labelers.resnet import ResNet
from pipeline.weights import CONFIG, load_weights

LABELERS: dict[str, type[Labeler]] = {ConvNet.architecture: ConvNet, ResNet.architecture: ResNet}
EMBEDDERS: dict[str, type[Embedder]] = {ConvEmbedder.architecture: ConvEmbedder}

Network = TypeVar("Network", bound=nn.Module)


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


def load_labeler(
    folder: str | Path, attributes: Sequence[str] | None = None, device: str | torch.device = "cpu"
) -> Labeler:
    """Read a classifier, frozen and in evaluation mode.

    Arguments:
        folder: a network folder (see :mod:`pipeline.weights`).
        attributes: names or aliases of the attributes to keep, in this order; ``None`` keeps all.
        device: where its tensors go.

    Raises:
        PipelineError: when the folder is not a whole network, its architecture is unknown, a tensor does not
            fit, or the classifier lacks one of the attributes.
    """
    labeler = _load(folder, LABELERS, "a classifier", device)
    if attributes is None:
        return labeler
    return Selection(labeler, [_find(labeler, name, folder) for name in attributes]).to(device).eval()


def load_embedder(folder: str | Path, device: str | torch.device = "cpu") -> Embedder:
    """Read an identity embedding, frozen and in evaluation mode.

    Arguments:
        folder: a network folder (see :mod:`pipeline.weights`).
        device: where its tensors go.

    Raises:
        PipelineError: when the folder is not a whole network, its architecture is unknown, or a tensor does
            not fit.
    """
    return _load(folder, EMBEDDERS, "an identity", device)


def _find(labeler: Labeler, name: str, folder: str | Path) -> Attribute:
    """The attribute that is called ``name``."""
    for attribute in labeler.attributes:
        if name in (attribute.name, attribute.alias):
            return attribute
    known = [attribute.name for attribute in labeler.attributes]
    raise PipelineError(
        f"expected attribute {name!r}, got a classifier with {', '.join(known)}, in {folder}: "
        f"{nearest_name(name, known)}"
    )


def _load(
    folder: str | Path, architectures: Mapping[str, type[Network]], role: str, device: str | torch.device
) -> Network:
    """Build what ``config.json`` names and fill it."""
    weights = load_weights(folder, device)
    network = _build(dict(weights.config), architectures, role, Path(folder) / CONFIG)
    weights.fill(network.to(device))
    return network.eval().requires_grad_(False)


def _build(
    config: dict[str, Any], architectures: Mapping[str, type[Network]], role: str, source: Path
) -> Network:
    """A network with fresh weights from the content of ``config.json``."""
    name = config.pop("architecture")
    if name not in architectures:
        raise PipelineError(
            f"expected {role} architecture in {sorted(architectures)}, got {name!r}, in {source}: "
            "check the folder that params.yaml names"
        )
    try:
        if "attributes" in config:
            config["attributes"] = [Attribute.from_json(fields) for fields in config["attributes"]]
        return architectures[name](**config)
    except (TypeError, ValueError, RuntimeError) as error:
        got = sorted(config)
        raise PipelineError(f"expected the arguments of {name!r}, got {got}, in {source}: {error}") from error
