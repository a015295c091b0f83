"""The protocol: edit test latents at matched strength, let the judge score, report with intervals.

The labeler calibrates the strength and the judge scores; all scales of the labeler come from the training
split, and σ of the judge is its standard deviation on the original images of the evaluated latents, the same
for every editor. ``docs/protocol.md`` says what every number means.
"""

from __future__ import annotations

__all__ = ["evaluate"]

import shutil
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline import console
from pipeline.attributes import columns_of
from pipeline.bench import Arrays, Folders
from pipeline.cluster import connect, map_shards
from pipeline.config import Params
from pipeline.data import check_provenance, read_manifest, read_table, replace_folder, to_tensors
from pipeline.elsewhere import inverted_styles, outside_styles
from pipeline.errors import PipelineError
from pipeline.findings import cost_numbers, further_numbers, overwritten_table
from pipeline.labelers import load_labeler
from pipeline.labelers.imported import check_imported
from pipeline.metrics.cost import training_cost
from pipeline.metrics.summary import Measured, summarise
from pipeline.paths import LABELS, WORK, editor_folder, report_folder
from pipeline.plan import INVERTED, Trial, plan
from pipeline.protocol import Protocol, Scales, scales_of
from pipeline.report import Faces, Found, read_history, write_report
from pipeline.trials import REACH, Chunk
from pipeline.weights import weights_digest


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
        perceptual=params.labeler.perceptual,
    )
    started = time.monotonic()
    check_imported(folders.judge, params.labeler.sources, "judge")
    check_imported(folders.identity, params.labeler.sources, "identity")
    if folders.perceptual:
        check_imported(folders.perceptual, params.labeler.sources, "perceptual")
    judge = load_labeler(folders.judge, folders.attributes)
    table, asked = _rows(params, judge.columns), params.evaluate
    w, scales = to_tensors(table)[0].numpy(), _scales(params, judge.columns)
    inverted, seconds = inverted_styles(params, scales.manifold)
    trials = plan(asked, scales, w, outside_styles(params), inverted.get("w"))
    protocol = Protocol.of(
        scales,
        deltas=asked.deltas,
        sides=asked.sides,
        tolerance=asked.tolerance,
        batch=params.label.batch_size,
    )
    found = _run(folders, protocol, trials, params)
    if INVERTED in found:
        found[INVERTED]["inversion_rmse"] = inverted["rmse"]

    edits = found["edits"]
    decided = frozenset(columns_of(a for a in judge.attributes if a.kind != "continuous"))
    sigma = np.maximum(edits["before"].std(axis=0), 1e-6)
    measured = Measured(table["id"].to_numpy(), judge.columns, decided, edits, asked.deltas, sigma)
    history = read_history(editor_folder(editor) / "history.csv")
    values = np.linspace(-REACH, REACH, asked.explorer_steps)
    metrics: dict[str, Any] = {
        "delta": asked.delta,
        **summarise(measured, asked.delta, resamples=asked.bootstrap, seed=asked.seed),
        **training_cost(history),
        **further_numbers(asked, measured, found, values),
        **cost_numbers(folders.editor, w, asked.timings),
    }
    if asked.timings:  # else equal runs are equal bytes
        metrics["evaluate_seconds"] = round(time.monotonic() - started - seconds, 3)
    new = WORK / "report" / editor
    shutil.rmtree(new, ignore_errors=True)
    overwritten = overwritten_table(measured, found["overwrite"]) if "overwrite" in found else pa.table({})
    faces = Faces.of(measured, values)
    write_report(new, editor, Found(measured, metrics, faces, history, overwritten), asked.faces)
    replace_folder(new, report_folder(editor))
    return metrics


def _rows(params: Params, columns: tuple[str, ...]) -> pa.Table:
    """The first rows of the asked split, from labels that this generator and this labeler made."""
    manifest = read_manifest(LABELS)
    made_by = {"generator": params.generator.weights, "labeler": params.labeler.weights}
    check_provenance(manifest, {role: weights_digest(folder) for role, folder in made_by.items()}, LABELS)
    split = params.evaluate.split
    table = read_table(LABELS, ["id", "w", *columns], split, params.evaluate.most)
    if table.num_rows == 0:
        raise PipelineError(f"expected rows of the {split} split, got none, in {LABELS}: raise sample.count")
    return table


def _scales(params: Params, columns: tuple[str, ...]) -> Scales:
    """Scales from what editors are trained on alone."""
    w, attrs = to_tensors(read_table(LABELS, ["w", *columns], "train", params.train.rows), columns)
    return scales_of(w.numpy(), attrs.double().numpy(), columns)


def _run(folders: Folders, protocol: Protocol, trials: Sequence[Trial], params: Params) -> dict[str, Arrays]:
    """The arrays of every trial by its name, its chunks put together in order."""
    chunks = [chunk for trial in trials for chunk in trial.chunks(params.evaluate.chunk)]
    kwargs = {"folders": folders, "protocol": protocol}
    with connect(params.cluster), console.progress(sum(len(trial.w) for trial in trials), "faces") as bar:

        def advance(arrays: Mapping[str, NDArray]) -> None:
            bar.advance(len(next(iter(arrays.values()))))

        done = map_shards(chunks, Chunk, kwargs, params.cluster.evaluate, advance)
    parts: defaultdict[str, list[Mapping[str, NDArray]]] = defaultdict(list)
    for chunk, arrays in zip(chunks, done, strict=True):
        parts[chunk["group"]].append(arrays)
    return {
        group: {n: np.concatenate([part[n] for part in parts[group] if n in part]) for n in parts[group][0]}
        for group in parts
    }
