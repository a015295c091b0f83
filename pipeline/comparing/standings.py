"""The numbers of every editor: its own, pooled over its trainings, and those that need all editors."""

from __future__ import annotations

__all__ = [
    "Entry",
    "Row",
    "common_numbers",
    "differences",
    "edit_numbers",
    "other_numbers",
    "overwrite_numbers",
    "read_entries",
    "training_numbers",
]

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.comparing.edits import SCORES, Edits, read_edits
from pipeline.errors import PipelineError
from pipeline.metrics.bootstrap import Interval, Members, difference_interval, pooled_interval
from pipeline.report import EDITS, OVERWRITTEN

Row = dict[str, Any]
Floats = NDArray[np.float64]

ABLE = 0.5
"""Who reaches fewer moves has no say in which edits all have reached, and is best at nothing."""

ELSEWHERE = ("attributes/", "rescoring/", "curves/", "overwrite/")
"""Groups of ``metrics.json`` that are tables of their own, or that take all editors to know."""

NORMAL = 1.96  # standard deviations within which 95 % of a normal variable are

JUDGED = ("dependency", "dependency_max", "identity", "rmse", "psnr", "ssim", "lpips", "style_distance")
SET = ("mse", "psnr", "ssim", "identity", "lpips")


@dataclass(frozen=True, slots=True)
class Entry:
    """One editor of the comparison: a row of the table.

    Attributes:
        name: of the editor.
        folders: the report of each of its trainings.
        metrics: their ``metrics.json``, flattened, each.
        edits: their edits.
        overwritten: their attributes set to a value, where that was tried.
    """

    name: str
    folders: tuple[Path, ...]
    metrics: tuple[Mapping[str, float], ...]
    edits: tuple[Edits, ...]
    overwritten: tuple[pa.Table, ...]

    def members(self, name: str, delta: float, only: NDArray[np.bool_] | None = None) -> Members:
        """A score at one move for each training, ``[N, 2 K]``; where ``only [N, 2, K]`` says so."""
        values = [edits.at(name, delta) for edits in self.edits]
        if only is not None:
            values = [np.where(only, value, np.nan) for value in values]
        return [value.reshape(len(value), -1) for value in values]

    @property
    def scores(self) -> tuple[str, ...]:
        """Which of ``SCORES`` all of its trainings have."""
        return tuple(name for name in SCORES if all(name in edits.scores for edits in self.edits))


def read_entries(reports: Mapping[str, Sequence[Path]], columns: Sequence[str]) -> list[Entry]:
    """Read the reports of every editor, one for each training.

    Raises:
        PipelineError: when a report is missing or damaged, or editors were evaluated on other latents.
    """
    entries = [_read_entry(name, folders, columns) for name, folders in reports.items()]
    first = entries[0]
    for entry in entries:
        for folder, edits in zip(entry.folders, entry.edits, strict=True):
            if not np.array_equal(edits.ids, first.edits[0].ids) or edits.deltas != first.edits[0].deltas:
                raise PipelineError(
                    f"expected edits of the latents and moves of {first.folders[0]}, got others, in "
                    f"{folder}: run `dvc repro`"
                )
    return entries


def _read_entry(name: str, folders: Sequence[Path], columns: Sequence[str]) -> Entry:
    return Entry(
        name,
        tuple(folders),
        tuple(_flat(_read_metrics(folder / "metrics.json", name)) for folder in folders),
        tuple(read_edits(folder / EDITS, columns) for folder in folders),
        tuple(table for f in folders if (table := pq.read_table(f / OVERWRITTEN)).num_rows),
    )


def _read_metrics(path: Path, editor: str) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError) as error:
        raise PipelineError(
            f"expected the metrics of {editor}, got {type(error).__name__}, in {path}: run `dvc repro`"
        ) from error
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested numbers as ``outer/inner``."""
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)):
            found[prefix + key] = float(value)
    return found


def edit_numbers(
    entry: Entry, delta: float, *, resamples: int, seed: int, only: NDArray[np.bool_] | None = None
) -> Row:
    """``SCORES`` at one move, pooled over trainings, each with ``_low`` and ``_high``."""
    found = {
        name: pooled_interval(entry.members(name, delta, only), resamples=resamples, seed=seed)
        for name in entry.scores
    }
    return _spread(found)


def training_numbers(entries: Sequence[Entry], delta: float, *, resamples: int, seed: int) -> list[Row]:
    """``SCORES`` of each training by itself, as ``EDITOR@SEED``, for the editors that have several."""
    return [
        {
            "editor": folder.name,
            **edit_numbers(replace(entry, edits=(edits,)), delta, resamples=resamples, seed=seed),
        }
        for entry in entries
        if len(entry.edits) > 1
        for folder, edits in zip(entry.folders, entry.edits, strict=True)
    ]


def other_numbers(entry: Entry) -> Row:
    """Whatever else stands in ``metrics.json``, means over all trainings; tables by attribute are left out.

    The ends of an interval over latents move outward by the spread of the trainings: both are taken to be
    normal and independent, for the latents behind the numbers are not at hand any more.
    """
    names = {name for metrics in entry.metrics for name in metrics if not name.startswith(ELSEWHERE)}
    row = {}
    for name in sorted(names):
        found = [metrics for metrics in entry.metrics if name in metrics]
        value = np.mean([metrics[name] for metrics in found])
        stem, _, end = name.rpartition("_")
        if end in ("low", "high") and stem in names:
            middle = [metrics[stem] for metrics in found]
            over_trainings = NORMAL * np.std(middle) / np.sqrt(len(middle))
            width = np.hypot(value - np.mean(middle), over_trainings)
            value = np.mean(middle) + (width if end == "high" else -width)
        row[name] = round(float(value), 6)
    return row


def common_numbers(entries: Sequence[Entry], delta: float, *, resamples: int, seed: int) -> list[Row]:
    """What edits did that every able editor has reached: nobody is better for having left out the hard ones.

    Returns:
        For each entry ``JUDGED`` with intervals, and ``edits``, how many they are; empty for an editor that
        reaches less than half of its moves.
    """
    able = [np.nanmean(np.stack(e.members("unreached", delta))) <= 1 - ABLE for e in entries]
    reached = [
        edits.at("unreached", delta) == 0
        for entry, counts in zip(entries, able, strict=True)
        if counts
        for edits in entry.edits
    ]
    if not reached:
        return [{} for _ in entries]
    common = np.logical_and.reduce(reached)
    rows = []
    for entry, counts in zip(entries, able, strict=True):
        found = {
            name: pooled_interval(entry.members(name, delta, common), resamples=resamples, seed=seed)
            for name in JUDGED
            if name in entry.scores
        }
        rows.append(_spread(found) | {"edits": int(common.sum())} if counts else {})
    return rows


def differences(
    ours: Entry, entries: Sequence[Entry], delta: float, *, resamples: int, seed: int
) -> dict[str, Row]:
    """For each other editor: ``ours`` minus it, on the same latents, for every score, with intervals."""
    return {
        other.name: _spread(
            {
                name: difference_interval(
                    ours.members(name, delta), other.members(name, delta), resamples=resamples, seed=seed
                )
                for name in ours.scores
                if name in other.scores
            }
        )
        for other in entries
        if other is not ours
    }


def overwrite_numbers(entries: Sequence[Entry], *, resamples: int, seed: int) -> list[Row]:
    """The paper's table: success and error of each editor, and the distances where all have succeeded.

    Editors that succeed in less than a twentieth take no part in the intersection: one that does nothing
    would empty it.
    """
    if not all(entry.overwritten for entry in entries):
        return [{} for _ in entries]
    succeeded = [
        np.stack([table["success"].to_numpy().astype(float) for table in entry.overwritten])
        for entry in entries
    ]
    takes_part = [values.mean() >= 0.05 for values in succeeded]
    taking = [values for values, takes in zip(succeeded, takes_part, strict=True) if takes]
    common = np.concatenate(taking).all(axis=0) if taking else np.zeros(succeeded[0].shape[1], bool)
    columns = len(entries[0].edits[0].columns)
    rows = []
    for entry, values, takes in zip(entries, succeeded, takes_part, strict=True):
        errors = [table["error"].to_numpy() for table in entry.overwritten]
        found = {
            name: pooled_interval([one.reshape(-1, columns) for one in each], resamples=resamples, seed=seed)
            for name, each in (("success", values), ("error", errors))
        }
        for name in SET if takes and common.any() else ():
            if name != "mse" and any(name not in table.column_names for table in entry.overwritten):
                continue  # of a network that was not given
            each = [_set_score(table, name) for table in entry.overwritten]
            members = [np.where(common, value, np.nan).reshape(-1, columns) for value in each]
            found[name] = pooled_interval(members, resamples=resamples, seed=seed)
        rows.append(_spread(found) | {"edits": int(common.sum())})
    return rows


def _set_score(table: pa.Table, name: str) -> Floats:
    return np.square(table["rmse"].to_numpy()) if name == "mse" else table[name].to_numpy()


def _spread(found: Mapping[str, Interval]) -> Row:
    """``name``, ``name_low`` and ``name_high`` of each interval that is one."""
    ends = {name: {name: i.mean, f"{name}_low": i.low, f"{name}_high": i.high} for name, i in found.items()}
    return {key: round(value, 6) for each in ends.values() for key, value in each.items() if value == value}
