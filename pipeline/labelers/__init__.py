"""Image classifiers, identity embeddings, perceptual networks: one format a file, one way to read them.

A network is a folder whose ``config.json`` names an ``architecture`` that is registered here. One of our own
is safetensors; one in a foreign format was made a folder by ``python -m pipeline import-labeler``, with its
declaration (:mod:`pipeline.labelers.sources`). Nothing that a folder holds is ever unpickled.
"""

from __future__ import annotations

__all__ = [
    "ConvEmbedder",
    "ConvNet",
    "Embedder",
    "Labeler",
    "Perceptual",
    "ResNet",
    "load_embedder",
    "load_labeler",
    "load_perceptual",
]

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from pipeline.attributes import Attribute, nearest_name
from pipeline.errors import PipelineError
from pipeline.labelers.backbones import FORMATS, PROGRAMS
from pipeline.labelers.base import Embedder, Labeler, Perceptual
from pipeline.labelers.combined import Combined, Selection
from pipeline.labelers.convnet import ConvNet
from pipeline.labelers.embedding import ConvEmbedder
from pipeline.labelers.foreign import read_embedder, read_labeler, read_perceptual
from pipeline.labelers.resnet import ResNet
from pipeline.labelers.sources import FolderClassifier, classifier_sources
from pipeline.weights import CONFIG, load_config, load_weights

Network = TypeVar("Network", bound=nn.Module)
Reader = Callable[[Path, dict[str, Any], str | torch.device], Network]
"""From a folder and the content of its ``config.json`` to the network on a device."""


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
            fit, a package that its format needs is missing, or the classifier lacks one of the attributes.
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
        PipelineError: when the folder is not a whole network, its architecture is unknown, a tensor does not
            fit, or a package that its format needs is missing.
    """
    return _load(folder, EMBEDDERS, "an identity", device)


def load_perceptual(folder: str | Path, device: str | torch.device = "cpu") -> Perceptual:
    """Read a perceptual network, which is always an imported one; otherwise as :func:`load_embedder`."""
    return _load(folder, PERCEPTUALS, "a perceptual", device)


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
    folder: str | Path, readers: Mapping[str, Reader[Network]], role: str, device: str | torch.device
) -> Network:
    """Read what ``config.json`` names."""
    config = load_config(folder)
    if (name := config["architecture"]) not in readers:
        raise PipelineError(
            f"expected {role} architecture in {sorted(readers)}, got {name!r}, in {Path(folder) / CONFIG}: "
            "check the folder that params.yaml names"
        )
    return readers[name](Path(folder), config, device).eval().requires_grad_(False)


def _own(architecture: Callable[..., Network]) -> Reader[Network]:
    """A reader of networks of our own: build what ``config.json`` says and fill it with its tensors."""

    def read(folder: Path, config: dict[str, Any], device: str | torch.device) -> Network:
        arguments = {key: value for key, value in config.items() if key != "architecture"}
        try:
            if "attributes" in arguments:
                arguments["attributes"] = [Attribute.from_json(x) for x in arguments["attributes"]]
            network = architecture(**arguments).to(device)
        except (TypeError, ValueError, RuntimeError) as error:
            raise PipelineError(
                f"expected the arguments of {config['architecture']!r}, got {sorted(arguments)}, "
                f"in {folder / CONFIG}: {error}"
            ) from error
        load_weights(folder, device).fill(network)
        return network

    return read


def _read_combined(folder: Path, config: dict[str, Any], device: str | torch.device) -> Combined:
    """Several classifiers in folders of their own, one for each source."""
    sources = classifier_sources(config, folder)
    members = [
        load_labeler(
            folder / name, source.attributes if isinstance(source, FolderClassifier) else None, device
        )
        for name, source in zip(config["members"], sources, strict=True)
    ]
    return Combined(members, config)


LABELERS: dict[str, Reader[Labeler]] = {
    ConvNet.architecture: _own(ConvNet),
    ResNet.architecture: _own(ResNet),
    Combined.architecture: _read_combined,
    **dict.fromkeys(FORMATS, read_labeler),
}
EMBEDDERS: dict[str, Reader[Embedder]] = {
    ConvEmbedder.architecture: _own(ConvEmbedder),
    **dict.fromkeys(FORMATS, read_embedder),
}
PERCEPTUALS: dict[str, Reader[Perceptual]] = dict.fromkeys(PROGRAMS, read_perceptual)
