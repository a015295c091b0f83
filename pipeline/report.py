"""What an evaluation leaves behind: numbers, tables for ``dvc plots``, figures, the explorer page."""

from __future__ import annotations

__all__ = ["EDITS", "FACES", "OVERWRITTEN", "Faces", "Found", "read_history", "write_report"]

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from pipeline import charts, explorer, figures
from pipeline.attributes import same_attribute
from pipeline.metrics.editing import moves_in_sigma
from pipeline.metrics.summary import HEADLINE, PERCEPTUAL, Measured, edits_table

Pictures = NDArray[np.uint8]

EDITS, OVERWRITTEN, FACES = "edits.parquet", "overwritten.parquet", "faces.npz"

SHOWN = 2.0  # σ of the edits in the sheet
PANELS = {"success": "Success", "dependency": "Attribute dependency (σ)", "identity": "Identity similarity"}


@dataclass(frozen=True, slots=True)
class Faces:
    """The first latents under every slider, as :func:`pipeline.trials.sweep` draws them.

    Attributes:
        original: ``[F, h, w, 3]``.
        frames: ``[F, K, S, h, w, 3]``.
        matched: the largest matched edit of each attribute to the other side, ``[F, K, h, w, 3]``; black
            where it was not reached.
        moves: what the judge sees change in the frames against the original, in σ, ``[F, K, S, K]``.
        values: the S positions in σ.
        direction: toward the other side of each attribute's range, +1 or -1, ``[F, K]``.
    """

    original: Pictures
    frames: Pictures
    matched: Pictures
    moves: NDArray[np.float64]
    values: NDArray[np.float64]
    direction: NDArray[np.float64]

    @classmethod
    def of(cls, measured: Measured, values: NDArray[np.float64]) -> Faces:
        """The faces that were swept are the first of those that were measured."""
        found = measured.arrays
        count = len(found["swept_original"])
        before = found["before"][:count, None, None]
        return cls(
            original=found["swept_original"],
            frames=found["swept_frames"],
            matched=found["swept_edited"],
            moves=moves_in_sigma(before, found["swept_seen"], measured.judge_sigma),
            values=values,
            direction=found["other"][:count],
        )

    @property
    def edited(self) -> Pictures:
        """Each attribute moved by ``SHOWN`` σ toward the other side, ``[F, K, h, w, 3]``."""
        step = np.abs(self.values - SHOWN * self.direction[..., None]).argmin(axis=-1)
        faces, columns = np.indices(step.shape)
        return self.frames[faces, columns, step]

    def save(self, path: Path, columns: Sequence[str]) -> None:
        """Everything, for whoever compares editors."""
        np.savez_compressed(
            path,
            original=self.original,
            frames=self.frames,
            edited=self.matched,
            moves=self.moves,
            values=self.values,
            direction=self.direction,
            attributes=np.array(columns),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What an evaluation has found.

    Attributes:
        measured: the single edits.
        metrics: the content of ``metrics.json``.
        faces: the pictures.
        history: columns of the training's ``history.csv``.
        overwritten: one row for each attribute that was set to a value; none if that was not tried.
    """

    measured: Measured
    metrics: Mapping[str, Any]
    faces: Faces
    history: Mapping[str, Sequence[float]]
    overwritten: pa.Table


def write_report(folder: Path, editor: str, found: Found, shown: int) -> None:
    """Fill an empty folder.

    Arguments:
        folder: where to.
        editor: what titles call the editor.
        found: everything that was found.
        shown: faces in the sheets.
    """
    folder.mkdir(parents=True)
    columns, faces = found.measured.columns, found.faces
    (folder / "metrics.json").write_text(json.dumps(found.metrics, indent=2) + "\n")
    pq.write_table(edits_table(found.measured), folder / EDITS, compression="zstd")
    pq.write_table(found.overwritten, folder / OVERWRITTEN, compression="zstd")
    faces.save(folder / FACES, columns)
    _write_plots(folder / "plots", columns, found.metrics, faces)
    _draw(folder / "figures", editor, found, shown)
    page = explorer.explorer_page(
        {editor: [explorer.Face(*f) for f in zip(faces.original, faces.frames, faces.moves, strict=True)]},
        attributes=columns,
        values=faces.values.tolist(),
    )
    (folder / "explorer.html").write_text(page, encoding="utf-8")


def _write_plots(folder: Path, columns: Sequence[str], metrics: Mapping[str, Any], faces: Faces) -> None:
    """Tables in the long form that ``dvc plots`` draws."""
    names = (*HEADLINE, *(name for name in PERCEPTUAL if name in metrics))
    numbers = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    by_attribute = (
        [name, *(values.get(n, "") for n in numbers)] for name, values in metrics["attributes"].items()
    )
    _write_csv(folder / "attributes.csv", ["attribute", *numbers], by_attribute)
    rescoring = (
        [edited, seen, move] for edited, row in metrics["rescoring"].items() for seen, move in row.items()
    )
    _write_csv(folder / "rescoring.csv", ["edited", "seen", "move"], rescoring)
    mean, spread = faces.moves.mean(axis=0), np.abs(faces.moves).mean(axis=0)  # [K, S, K]
    apart = ~same_attribute(columns)[:, None]  # [K, 1, K]
    others = (spread * apart).sum(axis=-1) / np.maximum(apart.sum(axis=-1), 1)
    sliders = (
        [name, round(float(position), 4), round(float(mean[k, s, k]), 6), round(float(others[k, s]), 6)]
        for k, name in enumerate(columns)
        for s, position in enumerate(faces.values)
    )
    _write_csv(folder / "sliders.csv", ["attribute", "position", "move", "others"], sliders)


def _write_csv(path: Path, heading: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([heading, *rows])


def _draw(folder: Path, editor: str, found: Found, shown: int) -> None:
    measured, metrics, faces, history = found.measured, found.metrics, found.faces, found.history
    names, delta = measured.columns, metrics["delta"]
    figures.edits_sheet(folder / "edits.png", faces.original[:shown], faces.edited[:shown], names, editor)
    for k, name in enumerate(names):
        figures.traversal(
            folder / f"traversal_{name}.png", faces.frames[:shown, k], faces.values.tolist(), name, editor
        )
    charts.heat_map(
        folder / "rescoring.png",
        measured.rescoring(delta),
        names,
        f"{editor}: rescoring matrix",
        f"Mean change that the judge sees when the labeler moves by {delta:g} σ.",
    )
    charts.bars(
        folder / "attributes.png", metrics["attributes"], PANELS, f"{editor}: edits matched to {delta:g} σ"
    )
    if any(f"val_{name}" in history for name in history) and len(history["epoch"]) > 1:
        charts.loss_curves(folder / "losses.png", history, f"{editor}: training")
    (folder / "sweep").mkdir()

    def draw_step(step: int) -> None:
        board = figures.mosaic(faces.frames[:shown, :, step], cell=96, gap=4)
        Image.fromarray(board).save(folder / "sweep" / f"{step:02d}.png", **figures.PNG)

    with ThreadPoolExecutor() as threads:  # resizing and packing hold no lock of the interpreter
        list(threads.map(draw_step, range(len(faces.values))))


def read_history(path: Path) -> dict[str, list[float]]:
    """The columns of a ``history.csv``; empty when the editor was made in closed form."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in (rows[0] if rows else ())}
