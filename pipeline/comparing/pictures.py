"""Pictures for the comparison: edits drawn again from their strengths, and the same edits by every editor."""

from __future__ import annotations

__all__ = ["Painter", "draw_failures", "draw_side_by_side"]

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import figures
from pipeline.comparing.failures import Failure
from pipeline.editors import load_editor
from pipeline.generators.base import Generator
from pipeline.pixels import to_pixels
from pipeline.report import FACES

Pictures = NDArray[np.uint8]


class Painter:
    """Draws edits of known latents.

    Arguments:
        generator: draws them.
        styles: w of each latent by its id.
    """

    def __init__(self, generator: Generator, styles: Mapping[int, NDArray[np.float32]]) -> None:
        self.num_ws, self.synthesize, self.styles = generator.num_ws, generator.prepare(), styles

    @torch.inference_mode()
    def __call__(self, model: Path, failures: Sequence[Failure]) -> tuple[Pictures, Pictures]:
        """Originals and edits ``[N, h, w, 3]`` of the editor in the folder ``model``."""
        editor = load_editor(model)
        w = torch.from_numpy(np.stack([self.styles[failure.id] for failure in failures]))
        column = torch.tensor([failure.column for failure in failures])
        strength = torch.tensor([failure.strength for failure in failures])
        edited = editor.edit_rows(w, column, strength, self.num_ws)
        return to_pixels(self.synthesize(w)), to_pixels(self.synthesize(edited))


def draw_failures(
    path: Path, editor: str, painted: Mapping[str, tuple[Pictures, Pictures, list[str]]]
) -> None:
    """A gallery of what went wrong: a row of pairs, original and edit, for each kind of failure.

    Arguments:
        path: the file.
        editor: what the title calls the editor.
        painted: originals, edits and captions of each kind.
    """
    figures.gallery(
        path,
        painted,
        title=f"{editor}: what went wrong",
        caption="Left the original, right the edit; the worst of each kind, as different ones as there are.",
    )


def draw_side_by_side(path: Path, reports: Mapping[str, Path], faces: int, delta: float) -> None:
    """The same faces under the same matched edits: a block of rows for each face, a row for each editor.

    Arguments:
        path: the file.
        reports: a report folder for each editor.
        faces: how many.
        delta: the largest matched move, for the caption.
    """
    blocks, names = [], list[str]()
    for folder in reports.values():
        with np.load(folder / FACES, allow_pickle=False) as file:
            edited = file["edited"][:faces].copy()
            edited[~edited.any(axis=(2, 3, 4))] = 255  # a move that was not reached leaves its place empty
            blocks.append(np.concatenate([file["original"][:faces, None], edited], axis=1))
            names = [str(name) for name in file["attributes"]]
    by_face = np.stack(blocks, axis=1)  # [F, editors, 1 + K, h, w, 3]
    figures.sheet(
        path,
        by_face.reshape(-1, *by_face.shape[2:]),
        title="The same faces, the same edits",
        caption=f"Each attribute moved by {delta:g} σ of the labeler toward the other side; everything else "
        "should stay. Empty: not reached.",
        column_names=figures.headings(names),
        row_names=list(reports) * len(by_face),
        wide_columns=(1,),
        wide_rows=range(len(reports), len(reports) * len(by_face), len(reports)),
    )
