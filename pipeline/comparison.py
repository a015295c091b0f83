"""All editors side by side: tables, curves, the same faces under the same edits, and what went wrong.

The comparison draws nothing of its own but failures: everything else was measured when each editor was
evaluated, on the same latents, and is put together here.
"""

from __future__ import annotations

__all__ = ["compare"]

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from pipeline import charts, explorer
from pipeline.attributes import nearest_name, same_attribute
from pipeline.comparing.columns import COLUMNS
from pipeline.comparing.failures import Failure, count_failures, worst_failures
from pipeline.comparing.pictures import Painter, draw_failures, draw_side_by_side
from pipeline.comparing.standings import (
    Entry,
    Row,
    common_numbers,
    differences,
    edit_numbers,
    other_numbers,
    overwrite_numbers,
    read_entries,
    training_numbers,
)
from pipeline.comparing.tables import markdown, report_text, write_csv
from pipeline.config import Params
from pipeline.data import read_manifest, read_table, to_tensors
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.metrics.rarity import rare_requests
from pipeline.paths import LABELS, editor_folder, report_folder
from pipeline.report import FACES

SIDE_BY_SIDE = 3  # faces: each takes a row for every editor
PAIRS = 6  # of each kind of failure in a gallery
PANELS = {"dependency": "Attribute dependency (σ)", "identity": "Identity similarity", "success": "Success"}
RARE = "rare"


def compare(params: Params, facts: Mapping[str, str], folder: Path) -> list[Row]:
    """Fill ``folder`` with the comparison of all editors.

    ``report.md`` (everything in words and tables), ``table.csv``, ``table.md``, ``metrics.json``,
    ``differences.json``, ``failures.csv``, ``curves.csv``, ``explorer.html`` and ``figures/``.

    Arguments:
        params: all parameters.
        facts: what the report says of date, commit and machine.
        folder: where to; made when it is not there.

    Returns:
        The rows of the table, flat: ``editor``, each number with ``_low`` and ``_high``, groups as
        ``group/name``.

    Raises:
        PipelineError: when a report is missing, or for a column that no report has.
    """
    columns = tuple(read_manifest(LABELS).provenance["columns"])
    reports = {name: [report_folder(each) for each in params.trainings_of(name)] for name in params.editor}
    entries = read_entries(reports, columns)
    rare = _rare(entries[0], params, columns)
    rows = _rows(entries, params, rare)
    _check_columns(params.compare.columns, rows)
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / "table.csv", rows)
    (folder / "table.md").write_text(markdown(rows, params.compare.columns or COLUMNS), encoding="utf-8")
    _write_json(folder / "metrics.json", {row["editor"]: _numbers(row) for row in rows})
    often = _often(params)
    apart = differences(entries[0], entries, params.evaluate.delta, **often)
    _write_json(folder / "differences.json", apart)
    _draw_charts(folder, entries, rows, params)
    _draw_faces(folder, reports, params)
    failures = _draw_failures(folder / "figures", entries, params, rare)
    write_csv(folder / "failures.csv", failures)
    trainings = training_numbers(entries, params.evaluate.delta, **often)
    text = report_text(rows, trainings, apart, failures, params, {**facts, **_time(entries)})
    (folder / "report.md").write_text(text, encoding="utf-8")
    return rows


def _rows(entries: Sequence[Entry], params: Params, rare: NDArray[np.bool_]) -> list[Row]:
    """One row for each editor: what was measured of it, and what takes all editors to know."""
    often = _often(params)
    delta = params.evaluate.delta
    common = common_numbers(entries, delta, **often)
    overwrite = overwrite_numbers(entries, **often)
    rows = []
    for index, entry in enumerate(entries):
        row = {"editor": entry.name, **other_numbers(entry), **edit_numbers(entry, delta, **often)}
        groups = {
            RARE: edit_numbers(entry, delta, only=rare, **often) | {"edits": int(rare.sum())},
            "common": common[index],
            "overwrite": overwrite[index],
        }
        row |= {f"{group}/{name}": value for group, found in groups.items() for name, value in found.items()}
        rows.append(row)
    return rows


def _time(entries: Sequence[Entry]) -> dict[str, str]:
    """What the report says of how long it took; nothing where evaluations were not timed."""
    metrics = [found for entry in entries for found in entry.metrics]
    if not all("evaluate_seconds" in found for found in metrics):
        return {}
    training, evaluation = (
        sum(found[name] for found in metrics) / 60 for name in ("train_seconds", "evaluate_seconds")
    )
    return {
        "time": f"{len(metrics)} trainings, {training:.1f} min, and their evaluations, {evaluation:.1f} min; "
        "samples, labels, metric and this report are not counted"
    }


class _Often(TypedDict):
    resamples: int
    seed: int


def _often(params: Params) -> _Often:
    """How intervals are made."""
    return {"resamples": params.evaluate.bootstrap, "seed": params.evaluate.seed}


def _rare(entry: Entry, params: Params, columns: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which edits ask for a combination that the training data hardly has, ``[N, 2, K]``."""
    trained_on = read_table(LABELS, ["w", *columns], "train", params.train.rows)
    train = to_tensors(trained_on, columns)[1].double().numpy()
    table = read_table(LABELS, ["id", "w", *columns], params.evaluate.split, params.evaluate.most)
    labels = to_tensors(table, columns)[1].double().numpy()
    known = np.isin(table["id"].to_numpy(), entry.edits[0].ids)
    step = params.evaluate.delta * train.std(axis=0)
    posed = ~np.isnan(entry.edits[0].at("unreached", params.evaluate.delta))
    rare: NDArray[np.bool_] = rare_requests(labels[known], train, step, same_attribute(columns)) & posed
    return rare


def _draw_charts(folder: Path, entries: Sequence[Entry], rows: Sequence[Row], params: Params) -> None:
    """Curves over the moves, bars of success, success against dependency, cost against quality."""
    often = _often(params)
    deltas = params.evaluate.deltas
    curves = {e.name: [edit_numbers(e, delta, **often) for delta in deltas] for e in entries}
    write_csv(
        folder / "curves.csv",
        [
            {"editor": name, "delta": delta, **points}
            for name, each in curves.items()
            for delta, points in zip(deltas, each, strict=True)
        ],
    )
    figures = folder / "figures"
    if len(deltas) > 1:
        labels = "move of the labeler (σ)", "Edits of every size"
        charts.curves(figures / "curves.png", curves, deltas, PANELS, labels)
    delta = f"{params.evaluate.delta:g} σ"
    by_editor = {row["editor"]: row for row in rows}
    caption = f"At {delta} of the labeler; 95 % bootstrap intervals."
    charts.bars(figures / "bars.png", by_editor, PANELS, "Every editor", caption)
    text = "success (higher is better)", "attribute dependency in σ (lower is better)"
    charts.scatter(
        figures / "success.png",
        rows,
        "dependency",
        "success",
        (text[1], text[0]),
        "Success against attribute dependency",
        "Edits at matched strength, scored by the judge; 95 % bootstrap intervals.",
    )
    charts.scatter(
        figures / "cost.png",
        rows,
        "train_seconds",
        "dependency",
        ("seconds of training", text[1]),
        "Cost against quality",
        caption,
        scale="log",
    )


def _draw_faces(folder: Path, reports: Mapping[str, Sequence[Path]], params: Params) -> None:
    """The same faces under the edits of every editor: a sheet, and the explorer with its switch."""
    first = {name: folders[0] for name, folders in reports.items()}
    draw_side_by_side(folder / "figures" / "edits.png", first, SIDE_BY_SIDE, params.evaluate.deltas[-1])
    faces: dict[str, list[explorer.Face]] = {}
    attributes: list[str] = []
    values: list[float] = []
    for name, place in first.items():
        with np.load(place / FACES, allow_pickle=False) as file:
            parts = (file[key][: params.compare.faces] for key in ("original", "frames", "moves"))
            faces[name] = [explorer.Face(*face) for face in zip(*parts, strict=True)]
            attributes, values = file["attributes"].tolist(), file["values"].tolist()
    page = explorer.explorer_page(faces, attributes=attributes, values=values)
    (folder / "explorer.html").write_text(page, encoding="utf-8")


def _draw_failures(
    folder: Path, entries: Sequence[Entry], params: Params, rare: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """A gallery for each editor, of its first training; gives how often each failure is there."""
    table = read_table(LABELS, ["id", "w"], params.evaluate.split, params.evaluate.most)
    styles = dict(zip(table["id"].to_pylist(), to_tensors(table)[0].numpy(), strict=True))
    painter = Painter(load_generator(params.generator.weights), styles)
    counted = []
    for entry in entries:
        edits = entry.edits[0]
        counted += [
            {"editor": entry.name, **row} for row in count_failures(edits, params.evaluate.delta, rare)
        ]
        painted = {}
        for kind, failures in worst_failures(edits, params.evaluate.delta, PAIRS).items():
            pictures = painter(editor_folder(entry.folders[0].name), failures) if failures else ((), ())
            painted[kind] = (*pictures, [_caption(failure, edits.columns) for failure in failures])
        draw_failures(folder / "failures" / f"{entry.name}.png", entry.name, painted)
    return counted


def _caption(failure: Failure, columns: Sequence[str]) -> str:
    return f"{columns[failure.column]} {'+' if failure.direction > 0 else '−'}"


def _check_columns(asked: Sequence[str], rows: Sequence[Row]) -> None:
    known = {name for row in rows for name in row} | set(COLUMNS)
    for name in asked:
        if name not in known:
            raise PipelineError(f"unknown column {name!r} in compare.columns: {nearest_name(name, known)}")


def _numbers(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "editor"}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
