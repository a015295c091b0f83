"""Networks of other people's making: preprocessing, backbone and readout, each as declared.

Whatever the format, a *backbone* (:mod:`pipeline.labelers.backbones`) is a module from prepared images
``[N, 3, side, side]`` to numbers ``[N, O]``. Around it stand the declared preprocessing and, for a
classifier, the declared readout.
"""

from __future__ import annotations

__all__ = [
    "ForeignEmbedder",
    "ForeignLabeler",
    "ForeignPerceptual",
    "read_embedder",
    "read_labeler",
    "read_perceptual",
]

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers.backbones import open_backbone, probe
from pipeline.labelers.base import Embedder, Labeler, Perceptual
from pipeline.labelers.huggingface import label_places
from pipeline.labelers.preprocessing import ImageInput, Preprocessing
from pipeline.labelers.readout import Outputs, Readout, resolve_outputs
from pipeline.labelers.sources import (
    ClipClassifier,
    FolderClassifier,
    HuggingFaceClassifier,
    classifier_sources,
    embedder_source,
)
from pipeline.weights import CONFIG


class _Foreign(nn.Module):
    """Images to the numbers of a network of another's making.

    Arguments:
        image: what its network wants to see.
        backbone: prepared images to ``[N, O]``.
        config: the content of ``config.json``.
    """

    def __init__(self, image: ImageInput, backbone: nn.Module, config: dict[str, Any]) -> None:
        super().__init__()
        self.preprocessing, self.backbone, self._config = Preprocessing(image), backbone, config

    def numbers(self, img: Tensor) -> Tensor:
        """``[N, O]`` of ``img [N, 3, H, W]`` in [-1, 1], always in float32."""
        # What a network of unknown make does in half precision, nobody has looked at.
        with torch.autocast(img.device.type, enabled=False):
            return self.backbone(self.preprocessing(img)).float()

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return self._config


class ForeignLabeler(_Foreign, Labeler):
    """A classifier of another's making.

    Arguments:
        image: what its network wants to see.
        backbone: prepared images to ``[N, O]``.
        attributes: name → outputs, all of them places below O.
        config: the content of ``config.json``.
    """

    def __init__(
        self, image: ImageInput, backbone: nn.Module, attributes: dict[str, Outputs], config: dict[str, Any]
    ) -> None:
        super().__init__(image, backbone, config)
        self.readout = Readout(attributes)
        self.attributes = self.readout.attributes

    def forward(self, img: Tensor) -> Tensor:
        """Logits or values ``[N, len(columns)]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return self.readout(self.numbers(img))


class ForeignEmbedder(_Foreign, Embedder):
    """An embedding of another's making."""

    def forward(self, img: Tensor) -> Tensor:
        """Unit vectors ``[N, E]`` of ``img [N, 3, H, W]`` in [-1, 1]."""
        return F.normalize(self.numbers(img), dim=1)


class ForeignPerceptual(_Foreign, Perceptual):
    """A perceptual network of another's making."""

    def forward(self, img: Tensor) -> Tensor:
        """Features ``[N, E]`` of ``img [N, 3, H, W]`` in [-1, 1], of any length."""
        return self.numbers(img)


def read_labeler(folder: Path, config: dict[str, Any], device: str | torch.device) -> ForeignLabeler:
    """An imported classifier.

    Raises:
        PipelineError: when a file or a package is missing, or the declaration contradicts the network.
    """
    sources = classifier_sources(config, folder)
    source = sources[0] if len(sources) == 1 else None
    if source is None or isinstance(source, FolderClassifier):
        raise PipelineError(f"expected one source, got {len(sources)}, in {folder / CONFIG}: import it again")
    backbone = open_backbone(source, folder, config, device)
    count = probe(backbone, source.image, folder, device)
    labels = label_places(config["network"]) if isinstance(source, HuggingFaceClassifier) else {}
    attributes = resolve_outputs(_outputs(source), count, labels, folder)
    return ForeignLabeler(source.image, backbone, attributes, config).to(device)


def read_embedder(folder: Path, config: dict[str, Any], device: str | torch.device) -> ForeignEmbedder:
    """An imported embedding of identity.

    Raises:
        PipelineError: when a file or a package is missing, or the declaration contradicts the network.
    """
    return ForeignEmbedder(*_read_backbone(folder, config, device), config).to(device)


def read_perceptual(folder: Path, config: dict[str, Any], device: str | torch.device) -> ForeignPerceptual:
    """An imported perceptual network; raises what :func:`read_embedder` does."""
    return ForeignPerceptual(*_read_backbone(folder, config, device), config).to(device)


def _read_backbone(
    folder: Path, config: dict[str, Any], device: str | torch.device
) -> tuple[ImageInput, nn.Module]:
    """What a network without attributes wants to see, and the network."""
    source = embedder_source(config, folder)
    if source is None:
        raise PipelineError(f"expected one source, got none, in {folder / CONFIG}: import it again")
    backbone = open_backbone(source, folder, config, device)
    probe(backbone, source.image, folder, device)
    return source.image, backbone


def _outputs(source: Any) -> dict[str, Outputs]:  # noqa: ANN401
    """Which outputs of the backbone say what; CLIP has one for each pair of texts or for each class."""
    if not isinstance(source, ClipClassifier):
        return dict(source.attributes)
    outputs, first = {}, 0
    for name, prompts in source.attributes.items():
        count = len(prompts.classes) or 1
        places = tuple(range(first, first + count))
        outputs[name] = Outputs(
            kind=prompts.kind, outputs=places, classes=prompts.classes, alias=prompts.alias
        )
        first += count
    return outputs
