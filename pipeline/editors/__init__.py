"""Editors: one paper a file, one way to build, save and read them."""

from __future__ import annotations

__all__ = [
    "Disentangler",
    "EditingData",
    "Editor",
    "FitContext",
    "InterFaceGAN",
    "MeanDifference",
    "Objective",
    "PartialEffect",
    "PluGeN",
    "RidgeDirections",
    "StyleAE",
    "StyleFlow",
    "editor_class",
    "load_editor",
    "save_editor",
]

from pathlib import Path

import torch

from pipeline.attributes import nearest_name
from pipeline.editors.base import EditingData, Editor, FitContext, Objective
from pipeline.editors.disentangler import Disentangler
from pipeline.editors.interfacegan import InterFaceGAN
from pipeline.editors.mean_difference import MeanDifference
from pipeline.editors.partial_effect import PartialEffect
from pipeline.editors.plugen import PluGeN
from pipeline.editors.ridge import RidgeDirections
from pipeline.editors.style_ae import StyleAE
from pipeline.editors.style_flow import StyleFlow
from pipeline.errors import PipelineError
from pipeline.weights import CONFIG, load_weights, save_weights

EDITORS: dict[str, type[Editor]] = {
    editor.kind: editor
    for editor in (
        StyleAE,
        InterFaceGAN,
        StyleFlow,
        PluGeN,
        Disentangler,
        MeanDifference,
        PartialEffect,
        RidgeDirections,
    )
}


def editor_class(kind: str) -> type[Editor]:
    """The class of a kind of editor.

    Raises:
        PipelineError: for an unknown kind, with the nearest known one.
    """
    if kind not in EDITORS:
        raise PipelineError(f"unknown kind of editor {kind!r}: {nearest_name(kind, EDITORS)}")
    return EDITORS[kind]


def save_editor(editor: Editor, folder: str | Path) -> None:
    """Write an editor as ``weights.safetensors`` and ``config.json``; equal editors give equal bytes."""
    save_weights(folder, editor.state_dict(), editor.config())


def load_editor(folder: str | Path, device: str | torch.device = "cpu") -> Editor:
    """Read an editor, frozen and in evaluation mode.

    Arguments:
        folder: what :func:`save_editor` wrote.
        device: where its tensors go.

    Raises:
        PipelineError: when the folder is not a whole editor, its kind is unknown, or a tensor does not fit.
    """
    weights = load_weights(folder, device)
    try:
        editor = editor_class(weights.config["architecture"]).from_config(weights.config).to(device)
    except (KeyError, TypeError) as error:
        raise PipelineError(
            f"expected an editor's constructor arguments in {Path(folder) / CONFIG}, got {error}: restore it"
        ) from error
    weights.fill(editor)
    return editor.eval().requires_grad_(False)
