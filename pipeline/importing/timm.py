"""Models of timm: a folder as the hub keeps them, or a file of weights with the name of the architecture."""

from __future__ import annotations

__all__ = ["import_timm"]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipeline.errors import PipelineError
from pipeline.importing.disagreements import disagreements, timm_says
from pipeline.importing.hub import model_folder
from pipeline.labelers.sources import TimmClassifier, TimmModel
from pipeline.labelers.timm import build_timm
from pipeline.weights import CONFIG, save_weights


def import_timm(source: TimmModel, staging: Path) -> tuple[dict[str, Any], list[str]]:
    """Write a model's tensors into a network folder; an embedding keeps the pooled features, not the head.

    Returns:
        what :func:`pipeline.labelers.timm.build_timm` needs, and where folder and declaration disagree.

    Raises:
        PipelineError: when the architecture is not known, or the weights do not fit it.
    """
    path = model_folder(source.model, source.revision)
    says = json.loads((path / CONFIG).read_text()) if path.is_dir() else {}
    network = {
        "architecture": source.architecture or says.get("architecture"),
        "num_classes": says.get("num_classes") if source.num_classes is None else source.num_classes,
        "arguments": says.get("model_args", {}),
    }
    if None in network.values():
        raise PipelineError(
            f"expected architecture and num_classes, got none, in {path}: declare them in labeler.sources, "
            "a file of weights alone does not say what it is"
        )
    try:
        model = build_timm(network)
        model.load_state_dict(_tensors(path / "model.safetensors" if path.is_dir() else path))
        if not isinstance(source, TimmClassifier):
            model.reset_classifier(0)
    except PipelineError:
        raise
    except Exception as error:  # whatever its many architectures raise
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected weights of timm's {network['architecture']!r}, got {reason!r}, in {path}: correct "
            "architecture and num_classes in labeler.sources"
        ) from None
    save_weights(staging, model.state_dict(), {})
    return network, disagreements(source.image, timm_says(says), f"pretrained_cfg of its {CONFIG}")


def _tensors(path: Path) -> Mapping[str, Any]:
    """The tensors of a file: safetensors, or what ``torch.save`` wrote, never unpickled freely."""
    if path.suffix == ".safetensors":
        return load_file(path)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content)
