"""The protocol: edit test latents at matched strength, let the judge score, report with intervals.

The labeler calibrates the strength and the judge scores; all scales of the labeler come from the training
split, and σ of the judge is its standard deviation on the original images of the evaluated latents, the same
for every editor.
"""

from __future__ import annotations

__all__ = ["evaluate"]

import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import console
from pipeline.attributes import columns_of
from pipeline.bench import REACH, Chunk, Folders, Protocol
from pipeline.cluster import connect, map_shards
from pipeline.config import Params
from pipeline.data import check_provenance, read_manifest, read_table, replace_folder, to_tensors
from pipeline.errors import PipelineError
from pipeline.labelers import load_labeler
from pipeline.labelers.imported import check_imported
from pipeline.metrics.summary import Measured, summarise
from pipeline.paths import LABELS, WORK, editor_folder, report_folder
from pipeline.report import Faces, read_history, write_report
from pipeline.weights import weights_digest

Arrays = dict[str, NDArray]

PERCENTILES = (0.01, 0.99)  # the ends of a column's range: the outermost values are the labeler's slips


def evaluate(editor: str, params: Params) -> dict[str, Any]:
    """Evaluate one editor and write ``reports/<editor>``, whole or not at all; gives its ``metrics.json``.

    Raises:
        PipelineError: when networks, labels and parameters do not belong together.
    """
    folders = Folders(
        generator=params.generator.weights,
        labeler=params.labeler.weights,
        judge=params.labeler.judge,
        identity=params.labeler.identity,
        editor=str(editor_folder(editor)),
        attributes=params.labeler.attributes,
    )
    check_imported(folders.judge, params.labeler.sources, "judge")
    check_imported(folders.identity, params.labeler.sources, "identity")
    judge = load_labeler(folders.judge, folders.attributes)
    table = _test_rows(params, judge.columns)
    found = _measure(folders, _protocol(params, judge.columns), to_tensors(table)[0].numpy(), params)
    swept = {
        name.removeprefix("swept_"): found.pop(name) for name in [n for n in found if n.startswith("swept_")]
    }
    decided = frozenset(columns_of(a for a in judge.attributes if a.kind != "continuous"))
    measured = Measured(table["id"].to_numpy(), judge.columns, decided, found, params.evaluate.delta)
    history = read_history(editor_folder(editor) / "history.csv")
    metrics = summarise(measured, resamples=params.evaluate.bootstrap, seed=params.evaluate.seed)
    metrics["train_seconds"] = round(sum(history.get("seconds", [])), 3)
    values = np.linspace(-REACH, REACH, params.evaluate.explorer_steps)
    new = WORK / "report" / editor
    shutil.rmtree(new, ignore_errors=True)
    write_report(
        new, editor, measured, metrics, Faces.of(measured, swept, values), history, params.evaluate.faces
    )
    replace_folder(new, report_folder(editor))
    return metrics


def _test_rows(params: Params, columns: tuple[str, ...]) -> pa.Table:
    """The first rows of the test split, from labels that this generator and this labeler made."""
    manifest = read_manifest(LABELS)
    made_by = {"generator": params.generator.weights, "labeler": params.labeler.weights}
    check_provenance(manifest, {role: weights_digest(folder) for role, folder in made_by.items()}, LABELS)
    table = read_table(LABELS, ["id", "w", *columns], split="test")
    if table.num_rows == 0:
        raise PipelineError(f"expected rows of the test split, got none, in {LABELS}: raise sample.count")
    return table if params.evaluate.count == "all" else table.slice(0, params.evaluate.count)


def _protocol(params: Params, columns: tuple[str, ...]) -> Protocol:
    """Scales of the labeler from the training split alone."""
    _, attrs = to_tensors(read_table(LABELS, ["w", *columns], split="train"), columns)
    low, high = np.quantile(attrs.double().numpy(), PERCENTILES, axis=0)
    return Protocol(
        delta=params.evaluate.delta,
        tolerance=params.evaluate.tolerance,
        sigma=tuple(attrs.double().std(dim=0, correction=0).tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        batch=params.label.batch_size,
    )


def _measure(folders: Folders, protocol: Protocol, w: NDArray[np.float32], params: Params) -> Arrays:
    """The arrays of every chunk, put together in order."""
    size, drawn = params.evaluate.chunk, max(params.evaluate.faces, params.evaluate.explorer_faces)
    chunks = [
        {"w": w[at : at + size], "faces": max(0, min(drawn - at, size, len(w) - at))}
        for at in range(0, len(w), size)
    ]
    kwargs = {"folders": folders, "protocol": protocol, "steps": params.evaluate.explorer_steps}
    with connect(params.cluster), console.progress(len(w), "faces") as bar:

        def advance(arrays: Mapping[str, NDArray]) -> None:
            bar.advance(len(arrays["before"]))

        done = map_shards(chunks, Chunk, kwargs, params.cluster.evaluate, advance)
    return {name: np.concatenate([arrays[name] for arrays in done if name in arrays]) for name in done[0]}
