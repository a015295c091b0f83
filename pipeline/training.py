"""Training an editor: Ray Train does the work, this process shows how far it is and writes what comes of it.

The run's name holds everything that determines the weights: a training that was killed is found and continued
by its name, and one with other parameters, data or code never is. Metrics reach MLflow from here, live and as
well as it goes.
"""

from __future__ import annotations

__all__ = ["Trained", "train_editor"]

import csv
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipeline.cluster import connect, fit_workers
from pipeline.config import Params
from pipeline.data import Manifest, check_provenance, read_manifest
from pipeline.editors import editor_class
from pipeline.errors import PipelineError
from pipeline.generators.pullback import METRIC, REPORT
from pipeline.mlflow_store import shown, store_of
from pipeline.paths import LABELS, PULLBACK, WORK, editor_folder
from pipeline.resources import Workers
from pipeline.scratch import JOB_VARIABLE, code_digest, fingerprint
from pipeline.storage import Storage
from pipeline.tracking import LiveRun
from pipeline.weights import sha256, weights_digest, write_atomic

CODE = ("editors", "generators", "loop", "workers")
POLL_SECONDS = 0.3
Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training.

    Attributes:
        folder: the editor.
        history: one row for each epoch; for a method in closed form one row, with the seconds alone.
    """

    folder: Path
    history: list[Row]

    @property
    def best(self) -> Row | None:
        """The epoch whose weights were kept; ``None`` for a method in closed form."""
        return min(self.history, key=lambda row: row["val_loss"]) if "val_loss" in self.history[0] else None


def train_editor(name: str, params: Params, on_epoch: Callable[[Row], None] = lambda row: None) -> Trained:
    """Train one editor into ``models/<name>``; a killed training goes on from its last checkpoint.

    Arguments:
        name: the editor.
        params: all parameters.
        on_epoch: called here with each row of the history, once; the first may be later than epoch 0.

    Raises:
        PipelineError: when labels, metric, networks and parameters do not belong together, or training fails.
    """
    settings = params.editor_settings(name)
    labels = _labels_of(params)
    _check_metric(params)
    key = fingerprint(_facts(name, params, labels))
    run, scratch = f"{name}-{key}", (WORK / "train").absolute()
    lines, meeting = scratch / f"{run}.jsonl", scratch / f"{run}.ranks"
    checkpoints = (
        Storage(params.cluster.storage).child("train") if params.cluster.storage else Storage(scratch)
    )
    store = store_of(params)
    live = (
        LiveRun(store, name, key) if hasattr(settings, "epochs") else None
    )  # a closed form: nothing to watch

    seen: set[float] = set()

    def send(row: Row) -> None:
        if live and row["epoch"] not in seen:
            live.log({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
        seen.add(row["epoch"])

    def on_row(row: Row) -> None:
        send(row)
        on_epoch(row)

    with connect(params.cluster):
        from pipeline.workers import Job, run_job  # imports Ray, which reads its environment then

        resources = fit_workers(_useful(params.cluster.train, settings))
        job = Job(
            folder=str(Path.cwd()),
            settings=settings,
            labels=str(LABELS),
            rows=params.train.rows,
            generator=params.generator.weights,
            metric=str(PULLBACK),
            seed=params.seed_of(name),
            checkpoint_epochs=params.train.checkpoint_epochs,
            threads=max(1, int(resources.cpus)),
            hang_seconds=params.cluster.train.hang_seconds,
            meeting=meeting if params.cluster.address == "local" else None,
        )
        failures = params.cluster.train.max_failures
        outcome = _watch(lambda: run_job(job, run, checkpoints, lines, resources, failures), lines, on_row)
    for row in outcome["history"]:  # what a driver before this one had no time to send
        send(row)
    run_id = live.close() if live else None
    _write(editor_folder(name), outcome, {"run_id": run_id, "tracking_uri": shown(store.uri)})
    checkpoints.child(run).delete()
    lines.unlink(missing_ok=True)
    shutil.rmtree(meeting, ignore_errors=True)
    return Trained(editor_folder(name), outcome["history"])


def _useful(asked: Workers, settings: Any) -> Workers:  # noqa: ANN401
    """The workers that an editor has work for: one, without a GPU, when it is made in closed form."""
    if not hasattr(settings, "epochs"):
        return replace(asked, workers=1, gpus=0.0)
    return asked if editor_class(settings.kind).shares_batches(settings) else replace(asked, workers=1)


def _labels_of(params: Params) -> Manifest:
    """The manifest of the labels, made from these networks for these attributes."""
    labels = read_manifest(LABELS)
    generator, labeler = weights_digest(params.generator.weights), weights_digest(params.labeler.weights)
    expected = {"generator": generator, "labeler": labeler, "attributes": list(params.labeler.attributes)}
    check_provenance(labels, expected, LABELS)
    return labels


def _check_metric(params: Params) -> None:
    """Refuse a pull-back metric of another generator; whether it is there, editors that use it ask."""
    report = PULLBACK / REPORT
    if report.is_file():
        made_of = json.loads(report.read_text()).get("generator")
        if made_of != (digest := weights_digest(params.generator.weights)):
            raise PipelineError(
                f"expected the metric of generator {digest[:12]}…, got {str(made_of)[:12]}…, "
                f"in {report}: "
                "run the stage 'pullback' again"
            )


def _facts(name: str, params: Params, labels: Manifest) -> dict[str, Any]:
    """Everything that the weights depend on, and whose work it is."""
    metric = PULLBACK / METRIC
    return {
        "editor": name,
        "settings": asdict(params.editor_settings(name)),
        "seed": params.seed_of(name),
        "rows": params.train.rows,
        "labels": labels.digest,
        "metric": sha256(metric) if metric.is_file() else None,
        "generator": weights_digest(params.generator.weights),
        "code": code_digest(*CODE),
        "torch": torch.__version__,
        "job": os.environ.get(JOB_VARIABLE),
    }


def _watch(work: Callable[[], dict[str, Any]], lines: Path, on_row: Callable[[Row], None]) -> dict[str, Any]:
    """Run ``work`` beside this thread, and pass on each new line of ``lines`` meanwhile.

    Ray Train takes over Ctrl-C when it is run in the main thread, and then ends as if nothing had happened.
    """
    lines.parent.mkdir(parents=True, exist_ok=True)
    lines.write_text("")
    ended: list[dict[str, Any] | BaseException] = []

    def run() -> None:
        try:
            ended.append(work())
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run, name="train", daemon=True)
    thread.start()
    last = -1
    with open(lines) as file:
        while thread.is_alive() or not ended:
            thread.join(POLL_SECONDS)
            for row in map(json.loads, file):
                if row["epoch"] > last:  # a replaced worker does some epochs again
                    last = row["epoch"]
                    on_row(row)
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]


def _write(folder: Path, outcome: dict[str, Any], run: dict[str, str | None]) -> None:
    """The editor's folder, each file whole or not at all."""
    for name, content in outcome["files"].items():
        write_atomic(folder / name, content)
    write_atomic(folder / "history.csv", _csv(outcome["history"]))
    write_atomic(folder / "run.json", (json.dumps(run) + "\n").encode())


def _csv(rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
