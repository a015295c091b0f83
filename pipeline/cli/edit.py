"""``python -m pipeline edit``: one face, before and after."""

from __future__ import annotations

__all__ = ["edit", "parse_edits"]

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline import console
from pipeline.attributes import nearest_name
from pipeline.config import Params, load_params
from pipeline.editors import load_editor
from pipeline.editors.base import Editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_labeler
from pipeline.pixels import to_pixels
from pipeline.sampling import draw_styles
from pipeline.sections import SEED_MAX

SMALL = 256  # pixels; smaller pictures are shown enlarged
ZOOM = 4
GAP = 8  # white pixels between before and after


def parse_edits(texts: Sequence[str]) -> list[tuple[str, float]]:
    """``["smile=1.5"]`` → ``[("smile", 1.5)]``.

    Raises:
        PipelineError: for a text that is not ``name=number``.
    """
    return [_parse_edit(text) for text in texts]


def _parse_edit(text: str) -> tuple[str, float]:
    name, _, strength = text.partition("=")
    try:
        if name and np.isfinite(value := float(strength)):
            return name, value
    except ValueError:
        pass
    raise PipelineError(
        f"expected ATTRIBUTE=STRENGTH such as smile=1.5, got {text!r}, in --set: write name=number"
    )


@torch.no_grad()
def edit(model: str, seed: int, edits: Sequence[tuple[str, float]], out: Path) -> None:
    """Write the picture ``before | after`` of the face with this seed, all edits combined.

    Arguments:
        model: an editor's folder, or a ``models:/`` URI of the MLflow registry.
        seed: which face.
        edits: attribute (name or alias) and strength in standard deviations, applied one after the other.
        out: the picture; the suffix chooses the format.

    Raises:
        PipelineError: for an unknown model, attribute or picture format.
    """
    if not 0 <= seed <= SEED_MAX:
        raise PipelineError(f"expected a seed of 0 or more, got {seed}, in --seed: choose another")
    if out.suffix.lower() not in Image.registered_extensions():
        raise PipelineError(
            f"expected a picture such as edit.png, got {str(out)!r}, in --out: give it a suffix"
        )
    params = load_params()
    editor = load_editor(_editor_folder(model))
    named = [(_column(name, editor, params), strength) for name, strength in edits]
    generator = load_generator(params.generator.weights)
    if editor.w_dim != generator.w_dim:
        raise PipelineError(
            f"expected an editor for style vectors of width {generator.w_dim}, got {editor.w_dim}, "
            f"in {model}: it was trained for another generator than the one in params.yaml"
        )
    origin = params.generator
    before = after = draw_styles(generator, seed, [0], origin.truncation_psi, origin.class_label)
    for column, strength in named:
        after = editor.edit_styles(after, column, strength, generator.num_ws)
    ws = torch.cat([generator.broadcast(before), generator.broadcast(after)])
    _picture(generator.synthesis(ws)).save(out)
    done = ", ".join(f"{column} {strength:+g} σ" for column, strength in named) or "nothing changed"
    console.result(f"{out}: before | after, seed {seed}, {done}")


def _editor_folder(model: str) -> Path:
    """A local folder as it is, a registered model downloaded."""
    if not model.startswith("models:/"):
        return Path(model)
    from pipeline.tracking import download_editor

    return download_editor(model)


def _column(name: str, editor: Editor, params: Params) -> str:
    """The editor's column with this name or alias."""
    known = {column: column for column in editor.columns}
    if name not in known:
        for attribute in load_labeler(params.labeler.weights, params.labeler.attributes).attributes:
            if attribute.alias and attribute.name in known:
                known[attribute.alias] = attribute.name
    if name not in known:
        raise PipelineError(f"unknown attribute {name!r}, in --set: {nearest_name(name, known)}")
    return known[name]


def _picture(img: Tensor) -> Image.Image:
    """Images ``[N, 3, H, W]`` in [-1, 1] side by side, small ones enlarged."""
    faces = [Image.fromarray(face) for face in to_pixels(img)]
    if faces[0].width < SMALL:
        faces = [
            face.resize((face.width * ZOOM, face.height * ZOOM), Image.Resampling.LANCZOS) for face in faces
        ]
    width, height = faces[0].size
    sheet = Image.new("RGB", (len(faces) * (width + GAP) - GAP, height), "white")
    for i, face in enumerate(faces):
        sheet.paste(face, (i * (width + GAP), 0))
    return sheet
