"""All editors side by side: one table, success against dependency, the same faces under the same edits."""

from __future__ import annotations

__all__ = ["COLUMNS", "compare", "rows"]

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import charts, figures
from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.report import FACES

Row = dict[str, Any]

COLUMNS = (
    "success",
    "dependency",
    "identity",
    "rmse",
    "psnr",
    "ssim",
    "unreached",
    "reconstruction_psnr",
    "train_seconds",
)
"""The usual columns of the table."""

SIDE_BY_SIDE = 3  # faces: each takes a row for every editor


def rows(reports: Path, editors: Sequence[str] | None = None) -> list[Row]:
    """The numbers of each editor: ``editor``, its metrics with ``_low`` and ``_high``, ``reconstruction_…``.

    Arguments:
        reports: the folder that holds one report for each editor.
        editors: which ones, in this order; ``None`` takes all that are there, by name.

    Raises:
        PipelineError: when the report of an editor is missing or damaged.
    """
    if editors is None:
        editors = sorted(path.parent.name for path in reports.glob("*/metrics.json"))
    return [_row(reports / editor / "metrics.json", editor) for editor in editors]


def _row(path: Path, editor: str) -> Row:
    try:
        metrics = json.loads(path.read_text())
        reconstruction = {
            f"reconstruction_{name}": value for name, value in metrics["reconstruction"].items()
        }
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise PipelineError(
            f"expected the metrics of {editor}, got {type(error).__name__}, in {path}: run `dvc repro`"
        ) from error
    overall = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    return {"editor": editor, **overall, **reconstruction}


def compare(reports: Path, editors: Sequence[str], columns: Sequence[str], folder: Path) -> list[Row]:
    """Fill ``folder`` with ``table.csv``, ``table.md``, ``metrics.json``, ``success.png`` and ``edits.png``.

    Arguments:
        reports: the folder that holds one report for each editor.
        editors: the editors, in the order of the table.
        columns: the columns of the table; empty means the usual ones.
        folder: where to; made when it is not there.

    Returns:
        The rows of the table.

    Raises:
        PipelineError: when a report is missing, or for a column that no report has.
    """
    found = rows(reports, editors)
    columns = tuple(columns) or COLUMNS
    known = {name for row in found for name in row}
    for name in columns:
        if name not in known and name not in COLUMNS:
            raise PipelineError(f"unknown column {name!r} in compare.columns: {nearest_name(name, known)}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(folder / "table.csv", found, columns)
    (folder / "table.md").write_text(_markdown(found, columns), encoding="utf-8")
    numbers = {
        row["editor"]: {name: value for name, value in row.items() if name != "editor"} for row in found
    }
    (folder / "metrics.json").write_text(json.dumps(numbers, indent=2) + "\n")
    charts.scatter(
        folder / "success.png",
        found,
        "dependency",
        "success",
        ("attribute dependency in σ (lower is better)", "success (higher is better)"),
        "Success against attribute dependency",
        "Edits at matched strength, scored by the judge; 95 % bootstrap intervals over latents.",
    )
    _draw_edits(folder / "edits.png", reports, editors)
    return found


def _write_csv(path: Path, found: Sequence[Row], columns: Sequence[str]) -> None:
    """Every column with the ends of its interval, where it has one."""
    names = [f"{name}{end}" for name in columns for end in ("", "_low", "_high")]
    heading = ["editor", *(name for name in names if any(name in row for row in found))]
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, heading, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def _markdown(found: Sequence[Row], columns: Sequence[str]) -> str:
    """The table for people: ``0.953 [0.946, 0.960]``."""
    heading = ["editor", *columns]
    body = [[row["editor"], *(_cell(row, name) for name in columns)] for row in found]
    lines = [heading, ["---", *["---:"] * len(columns)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        return ""
    interval = f" [{row[f'{name}_low']:.3g}, {row[f'{name}_high']:.3g}]" if f"{name}_low" in row else ""
    return f"{row[name]:.3g}{interval}"


def _draw_edits(path: Path, reports: Path, editors: Sequence[str]) -> None:
    """The first faces of every report: a block of rows for each face, a row for each editor."""
    blocks, names = [], list[str]()
    for editor in editors:
        with np.load(reports / editor / FACES, allow_pickle=False) as file:
            pictures = np.concatenate([file["original"][:, None], file["edited"]], axis=1)
            names = [str(name) for name in file["attributes"]]
        blocks.append(pictures[:SIDE_BY_SIDE])
    by_face = np.stack(blocks, axis=1)  # [F, editors, 1 + K, h, w, 3]
    figures.sheet(
        path,
        by_face.reshape(-1, *by_face.shape[2:]),
        title="The same faces, the same edits",
        caption="Each attribute moved by 2 σ toward the other side; everything else should stay.",
        column_names=["original", *names],
        row_names=list(editors) * len(by_face),
        wide_columns=(1,),
        wide_rows=range(len(editors), len(editors) * len(by_face), len(editors)),
    )
