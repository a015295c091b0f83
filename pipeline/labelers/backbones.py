"""The networks themselves, in every format: from prepared images ``[N, 3, side, side]`` to ``[N, O]``."""

from __future__ import annotations

__all__ = ["FORMATS", "PROGRAMS", "open_backbone", "probe"]

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers.clip import build_clip
from pipeline.labelers.export import open_export
from pipeline.labelers.huggingface import build_huggingface
from pipeline.labelers.onnx import open_onnx
from pipeline.labelers.preprocessing import ImageInput
from pipeline.labelers.sources import (
    ClassifierSource,
    ClipClassifier,
    EmbedderSource,
    ExportModel,
    HuggingFaceClassifier,
    HuggingFaceModel,
    OnnxModel,
    TimmClassifier,
    TimmModel,
    TorchScriptModel,
)
from pipeline.labelers.timm import build_timm
from pipeline.labelers.torchscript import open_torchscript
from pipeline.weights import CONFIG, load_weights

FORMATS = ("clip", "export", "huggingface", "onnx", "timm", "torchscript")
PROGRAMS = {"torchscript": "model.pt", "export": "model.pt2", "onnx": "model.onnx"}
"""Formats that are one file, and what it is called in a network folder."""

Source = ClassifierSource | EmbedderSource


def open_backbone(
    source: Source, folder: Path, config: dict[str, Any], device: str | torch.device
) -> nn.Module:
    """The backbone of a network folder, frozen and in evaluation mode.

    Arguments:
        source: the declaration that the folder was imported from.
        folder: the network folder; its files have been held to their digests.
        config: the content of its ``config.json``.
        device: where it computes.

    Raises:
        PipelineError: when a package is missing, or a file is not what its format asks for.
    """
    match source:
        case TorchScriptModel():
            backbone: nn.Module = open_torchscript(folder / PROGRAMS["torchscript"], source.output, device)
        case ExportModel():
            backbone = open_export(folder / PROGRAMS["export"], source.output, device)
        case OnnxModel():
            backbone = open_onnx(folder / PROGRAMS["onnx"], source.output, device)
        case _:
            backbone = _build(source, _network(config, folder), folder).to(device)
            load_weights(folder, device).fill(backbone)
    return backbone.eval().requires_grad_(False)


def _network(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a library needs to build the network again."""
    if not isinstance(network := config.get("network"), dict):
        raise PipelineError(f"expected 'network', got {network!r}, in {folder / CONFIG}: import it again")
    return network


def _build(source: Source, network: dict[str, Any], folder: Path) -> nn.Module:
    """A backbone that a library builds, with fresh weights."""
    try:
        match source:
            case HuggingFaceClassifier():
                return build_huggingface(network, None)
            case HuggingFaceModel():
                return build_huggingface(network, source.pooling)
            case TimmModel():
                headless = {} if isinstance(source, TimmClassifier) else {"num_classes": 0}
                return build_timm(network | headless)
            case ClipClassifier():
                return build_clip(network, sum(len(p.classes) or 1 for p in source.attributes.values()))
            case _:
                return build_clip(network, None)
    except PipelineError:
        raise
    except Exception as error:  # every library has its own
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected a network that this version of its library can build, got {reason!r}, in "
            f"{folder / CONFIG}: import it again"
        ) from None


def probe(backbone: nn.Module, image: ImageInput, folder: Path, device: str | torch.device) -> int:
    """How many outputs a backbone has, from two pictures, together and alone.

    Raises:
        PipelineError: when it does not take a batch, gives no ``[2, O]``, or reads a picture otherwise when
            it is alone, as dropout and batch statistics do.
    """
    ramp = torch.linspace(-1, 1, 6 * image.side**2, device=device).reshape(2, 3, image.side, image.side)
    try:
        with torch.no_grad():
            together, alone = backbone(ramp), [backbone(img[None]) for img in ramp]
    except Exception as error:  # every format has its own
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected outputs for 2 images of {image.side} pixels, got {reason!r}, in {folder}: correct "
            "image.resize, image.crop or output of the source, or export the model with a dynamic batch"
        ) from None
    if not isinstance(together, Tensor) or together.ndim != 2 or len(together) != 2:
        got = list(together.shape) if isinstance(together, Tensor) else type(together).__name__
        raise PipelineError(
            f"expected outputs [2, O] of 2 images, got {got}, in {folder}: correct output of the source"
        )
    if (torch.cat(alone) - together).abs().max() > 1e-3 * together.abs().max():  # more than rounding
        raise PipelineError(
            f"expected the same outputs for an image alone and in a batch, got others, in {folder}: "
            "the model was saved in training mode, save it after model.eval()"
        )
    return together.shape[1]
