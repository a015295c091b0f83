"""MLflow for the rest of the pipeline: live metrics of a training, and editors out of the registry."""

from __future__ import annotations

__all__ = ["LiveRun", "Store", "download_editor", "open_store", "store_of", "tracking_uri"]

import queue
import re
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import provenance
from pipeline.config import Params, load_params
from pipeline.errors import PipelineError
from pipeline.mlflow_store import (
    Store,
    check_server,
    mlflow_errors,
    open_experiment,
    open_store,
    shown,
    store_of,
    tracking_uri,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

FLUSH_SECONDS = 2.0
TRAINING_TAG = "styleae.training"
MODEL_URI = re.compile(r"models:/[^/@]+(@[^/@]+|/\d+)")


class LiveRun:
    """Metrics of a running training, sent from a thread of its own.

    A slow or absent store never holds the training up: the first failure is a warning, and the last attempt.

    Arguments:
        store: where to; see :func:`pipeline.mlflow_store.store_of`. It may be away.
        name: the run's name, such as the editor's.
        key: what identifies this training. A run with the same key is continued, and steps that it has are
            not sent again, so that a resumed training leaves one run with one history.

    Example:
        ``live = LiveRun(store, "styleae", key); live.log({"loss": 0.3}, step=1); run_id = live.close()``
    """

    def __init__(self, store: Store, name: str, key: str) -> None:
        self.store, self.name, self.key = store, name, key
        self.run_id: str | None = None
        self._queue: queue.Queue[tuple[Mapping[str, float], int, int] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="mlflow-live", daemon=True)
        self._thread.start()

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Take the metrics of one step; returns at once and never raises."""
        self._queue.put((dict(metrics), step, int(time.time() * 1000)))

    def close(self, timeout: float = 30.0) -> str | None:
        """Send what is left, for at most ``timeout`` seconds; the run's id, ``None`` when there is none."""
        self._queue.put(None)
        self._thread.join(timeout)
        return self.run_id

    def _work(self) -> None:
        """Send until the end; the first failure is one warning, and the last thing that this thread does."""
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the training goes on
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(
                f"no live metrics in MLflow at {shown(self.store.uri)}: {reason}; "
                "training goes on, publish brings them later",
                RuntimeWarning,
                stacklevel=2,
            )

    def _send_all(self) -> None:
        check_server(self.store.uri)
        from mlflow import MlflowClient

        client = MlflowClient(self.store.uri)
        self.run_id, last = self._open(client)
        ended = False
        while not ended:
            rows, ended = self._take()
            self._send(client, self.run_id, [row for row in rows if row[1] > last])
        client.set_terminated(self.run_id)

    def _open(self, client: MlflowClient) -> tuple[str, int]:
        """The run's id and the last step that it has."""
        experiment = open_experiment(client, self.store)
        origin = provenance.git_tags() | provenance.data_tags()
        found = client.search_runs([experiment], f"tags.`{TRAINING_TAG}` = '{self.key}'", max_results=1)
        if not found:
            tags = {TRAINING_TAG: self.key, **origin}
            run = client.create_run(experiment, run_name=self.name, tags=tags)
            return run.info.run_id, -1
        run_id = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")
        for name, value in origin.items():
            client.set_tag(run_id, name, value)
        steps = [m.step for name in found[0].data.metrics for m in client.get_metric_history(run_id, name)]
        return run_id, max(steps, default=-1)

    def _take(self) -> tuple[list[tuple[Mapping[str, float], int, int]], bool]:
        """What came within a few seconds, and whether that was all."""
        rows: list[tuple[Mapping[str, float], int, int]] = []
        deadline = time.monotonic() + FLUSH_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            try:
                row = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if row is None:
                return rows, True
            rows.append(row)
        return rows, False

    def _send(
        self, client: MlflowClient, run_id: str, rows: list[tuple[Mapping[str, float], int, int]]
    ) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), at, step)
            for values, step, at in rows
            for name, value in values.items()
        ]
        for start in range(0, len(metrics), 1000):  # the most that a server takes at once
            client.log_batch(run_id, metrics=metrics[start : start + 1000])


def download_editor(uri: str, params: Params | None = None) -> Path:
    """The folder of a registered editor, on this machine; its generator stands beside it as ``../generator``.

    Arguments:
        uri: ``models:/<name>@<alias>`` or ``models:/<name>/<version>``.
        params: which store; ``None`` reads ``params.yaml``.

    Raises:
        PipelineError: when the URI is none, the store does not answer, or it has no such model.
    """
    if not MODEL_URI.fullmatch(uri):
        raise PipelineError(
            f"expected models:/<name>@<alias> or models:/<name>/<version>, got {uri!r}: correct it"
        )
    store = open_store(params or load_params())
    import mlflow

    mlflow.set_tracking_uri(store.uri)
    try:
        with mlflow_errors(store.uri):
            folder = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{uri}/artifacts", tracking_uri=store.uri
            )
    except PipelineError as error:
        known = ", ".join(_registered(store)) or "none"
        raise PipelineError(
            f"expected a registered editor, got {uri}, at {shown(store.uri)}: "
            f"known models are {known}; run `dvc repro`"
        ) from error
    return Path(folder) / "editor"


def _registered(store: Store) -> list[str]:
    """Names of the registered models with their aliases."""
    from mlflow import MlflowClient

    models: list[Any] = MlflowClient(store.uri).search_registered_models()
    return [f"{model.name}@{alias}" for model in models for alias in model.aliases or ["?"]]
