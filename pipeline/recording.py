"""The comparison of all editors as one MLflow run: its numbers, tables and pictures.

The run is recognised by the digest of what it holds, so that recording the same again adds nothing, and one
that was broken off is completed.
"""

from __future__ import annotations

__all__ = ["Recorded", "record_comparison"]

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric

from pipeline import provenance
from pipeline.errors import PipelineError
from pipeline.mlflow_store import Store, open_experiment
from pipeline.weights import sha256

TAG = "styleae.comparison"
AT_ONCE = 1000  # metrics that a server takes in one request
PER_EDITOR = "editor"
WHOLE = "FINISHED"  # the status of a run that has everything


@dataclass(frozen=True, slots=True)
class Recorded:
    """The run of a comparison, and whether anything was added for it."""

    run_id: str
    new: bool


def record_comparison(store: Store, folder: Path) -> Recorded:
    """Bring a comparison's folder into the store, or find it there.

    Metrics are called ``NAME/EDITOR``, so that the UI draws the editors of one number side by side.

    Raises:
        PipelineError: when there is no comparison.
        MlflowException: when the store refuses; the next call completes the run.
    """
    if not (folder / "table.csv").is_file():
        raise PipelineError(f"expected a comparison, got none, in {folder}: run `dvc repro compare`")
    mlflow.set_tracking_uri(store.uri)
    client, digest = MlflowClient(), _digest(folder)
    experiment = open_experiment(client, store)
    found = client.search_runs([experiment], f"tags.`{TAG}` = '{digest}'", max_results=1)
    run = found[0] if found else client.create_run(experiment, run_name="comparison", tags={TAG: digest})
    run_id = run.info.run_id
    if run.info.status == WHOLE:
        return Recorded(run_id, new=False)
    metrics = list(_metrics(folder / "table.csv"))
    for start in range(0, len(metrics), AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + AT_ONCE])
    client.log_artifacts(run_id, str(folder))
    note = "Artifacts → `report.md`, `explorer.html` (two editors side by side), `figures`."
    for key, value in {**provenance.git_tags(), "mlflow.note.content": note}.items():
        client.set_tag(run_id, key, value)
    client.set_terminated(run_id, WHOLE)
    return Recorded(run_id, new=True)


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [(str(path.relative_to(folder)), sha256(path)) for path in files]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _metrics(table: Path) -> Iterator[Metric]:
    """Every number of the table; intervals stay in its file."""
    at = int(table.stat().st_mtime * 1000)
    with open(table, newline="") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name != PER_EDITOR and not name.endswith(("_low", "_high")):
                    yield Metric(f"{name}/{row[PER_EDITOR]}", float(value), at, 0)
