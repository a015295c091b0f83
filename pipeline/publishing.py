"""One MLflow run for each editor: parameters, data, metrics, history, pictures, and the registered model.

A run is recognised by the digest of what it publishes, so that publishing again adds nothing. The run that
the training has sent its losses to is continued where this store knows it; elsewhere, as on a machine that
got the results from DVC's cache, a new run takes everything.
"""

from __future__ import annotations

__all__ = ["Publication", "check_publishable", "publish_editor"]

import csv
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import get_dataset_source_from_json
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array
from numpy.typing import NDArray

from pipeline import provenance, registry
from pipeline.config import Params
from pipeline.data import Manifest, read_manifest, read_part, to_tensors
from pipeline.editors import load_editor
from pipeline.editors.base import Editor
from pipeline.errors import PipelineError
from pipeline.figures import mosaic
from pipeline.generators import load_generator
from pipeline.generators.base import Generator
from pipeline.mlflow_store import Store, open_experiment
from pipeline.paths import LABELS, editor_folder, report_folder
from pipeline.pixels import to_pixels
from pipeline.weights import sha256, weights_digest

CONTENT_TAG, PUBLISHED_TAG = "styleae.content", "styleae.published"
NEEDED = ("weights.safetensors", "config.json", "history.csv")
SLIDER = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # strengths behind the steps of MLflow's image slider


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What became of an editor in MLflow.

    Attributes:
        run_id: its run.
        version: its version in the registry, where the model has the editor's name.
        headline: value of the configured headline metric.
        champion: whether the version has the alias ``champion`` now.
        new: whether anything was added.
    """

    run_id: str
    version: str
    headline: float
    champion: bool
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What is published of one editor, read from its folders.

    Attributes:
        name: the editor's name.
        metrics: the evaluation's numbers, nested ones as ``outer/inner``.
        headline: the configured metric among them.
        labels: the manifest of the training data.
        settings: parameters, flattened.
        digest: identifies all of it.
    """

    name: str
    metrics: Mapping[str, float]
    headline: float
    labels: Manifest
    settings: Mapping[str, str]
    digest: str


def check_publishable(params: Params, name: str) -> Content:
    """Read what is to be published, before any server is asked.

    Raises:
        PipelineError: when a file is missing, or the headline metric is.
    """
    model, report = editor_folder(name), report_folder(name)
    for path in [*(model / file for file in NEEDED), report / "metrics.json"]:
        if not path.is_file():
            raise PipelineError(
                f"expected a trained and evaluated editor, got no {path}: run `dvc repro` or `dvc checkout`"
            )
    metrics = dict(_flatten(json.loads((report / "metrics.json").read_text())))
    headline = params.publish.headline
    # An estimate with an interval is nested; its value stands under one of these names.
    value = next(
        (metrics[key] for key in (headline, f"{headline}/value", f"{headline}/mean") if key in metrics), None
    )
    if value is None:
        raise PipelineError(
            f"expected the metric {headline!r}, got {', '.join(sorted(metrics)[:8])}, "
            f"in {report / 'metrics.json'}: correct publish.headline"
        )
    labels, settings = read_manifest(LABELS), _settings(params, name)
    files = sorted(path for path in report.rglob("*") if path.is_file())
    parts = [
        weights_digest(model),
        sha256(model / "history.csv"),
        weights_digest(params.generator.weights),
        labels.digest,
        settings,
        [(str(path.relative_to(report)), sha256(path)) for path in files],
    ]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return Content(
        name=name, metrics=metrics, headline=value, labels=labels, settings=settings, digest=digest
    )


def publish_editor(params: Params, store: Store, content: Content) -> Publication:
    """Bring one editor into the store, or find it there.

    Raises:
        MlflowException: when the store refuses; what was sent is found and completed by the next call.
    """
    mlflow.set_tracking_uri(store.uri)
    client = MlflowClient()
    folder = editor_folder(content.name)
    run = _find_run(client, open_experiment(client, store), content)
    known = registry.registered_version(client, content.name, registry.model_digest(folder, params))
    if known is not None and run.data.tags.get(PUBLISHED_TAG) == content.digest:
        version, new = known, False
    else:
        version, new = _fill(client, run.info.run_id, params, content, known), True
    champion = registry.crown(client, version, params.publish, content.headline)
    return Publication(
        run_id=run.info.run_id,
        version=str(version.version),
        headline=content.headline,
        champion=champion,
        new=new,
    )


def _fill(
    client: MlflowClient, run_id: str, params: Params, content: Content, known: ModelVersion | None
) -> ModelVersion:
    """Everything into the run, and a new registered version unless one is known; declared done last."""
    client.set_tag(run_id, CONTENT_TAG, content.digest)
    folder = editor_folder(content.name)
    with mlflow.start_run(run_id=run_id):
        editor, generator = load_editor(folder), load_generator(params.generator.weights)
        _log_facts(params, content)
        _log_metrics(client, run_id, content)
        _log_pictures(client, run_id, params, content, editor, generator)
        version = known or registry.log_editor(client, content.name, folder, editor, params, run_id)
    client.set_tag(run_id, PUBLISHED_TAG, content.digest)
    return version


def _find_run(client: MlflowClient, experiment: str, content: Content) -> Run:
    """The run with this content, else the training's own if nothing was published in it, else a new one."""
    found = client.search_runs([experiment], f"tags.`{CONTENT_TAG}` = '{content.digest}'", max_results=1)
    if found:
        return found[0]
    trained = _training_run(client, experiment, editor_folder(content.name) / "run.json")
    if trained is not None and CONTENT_TAG not in trained.data.tags:
        return trained
    return client.create_run(experiment, run_name=content.name)


def _training_run(client: MlflowClient, experiment: str, record: Path) -> Run | None:
    """The run that the training has sent its losses to, if this store knows it."""
    run_id = (json.loads(record.read_text()) or {}).get("run_id") if record.is_file() else None
    try:
        run = client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    usable = run is not None and run.info.lifecycle_stage == "active" and run.info.experiment_id == experiment
    return run if usable else None


def _log_facts(params: Params, content: Content) -> None:
    """Parameters, tags, the data set, the evaluation's numbers and files."""
    mlflow.log_params(dict(content.settings))
    tags = provenance.git_tags() | provenance.dvc_tags(content.name)
    mlflow.set_tags({**tags, "mlflow.note.content": _note(params, content)})
    columns = [
        ColSpec(DataType.float, name) for name, kind in content.labels.schema.items() if kind == "float"
    ]
    dataset = MetaDataset(  # type: ignore[abstract]
        get_dataset_source_from_json(json.dumps({"uri": str(LABELS.absolute())}), "local"),
        name=f"{params.generator.name}-labels",
        digest=content.labels.digest[:36],  # the longest that MLflow keeps
        schema=Schema([ColSpec(DataType.long, "id"), ColSpec(Array(DataType.float), "w"), *columns]),
    )
    mlflow.log_input(dataset, context="training")
    mlflow.log_artifact(str(LABELS / "manifest.json"), "data")
    mlflow.log_artifacts(str(report_folder(content.name)))


def _log_metrics(client: MlflowClient, run_id: str, content: Content) -> None:
    """The evaluation's numbers, and the training's losses by epoch as far as they were not sent live."""
    path = editor_folder(content.name) / "history.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else []) if name != "epoch"]
    sent = {name: {metric.step for metric in client.get_metric_history(run_id, name)} for name in names}
    at = int(path.stat().st_mtime * 1000)  # the store takes the same metric of the same time once
    metrics = [Metric(name, value, at, 0) for name, value in content.metrics.items()]
    metrics += [
        Metric(name, float(row[name]), at, int(row["epoch"]))
        for row in rows
        for name in names
        if row[name] and int(row["epoch"]) not in sent[name]
    ]
    for start in range(0, len(metrics), 1000):  # the most that a server takes at once
        client.log_batch(run_id, metrics=metrics[start : start + 1000])


@torch.no_grad()
def _log_pictures(
    client: MlflowClient, run_id: str, params: Params, content: Content, editor: Editor, generator: Generator
) -> None:
    """For each attribute some test faces at rising strengths: the steps of the UI's image slider."""
    if any(file.path.startswith("images/") for file in client.list_artifacts(run_id, "images")):
        return
    w, synthesize = _test_styles(content.labels, params.evaluate.faces), generator.prepare()
    unmoved = synthesize(w)

    def board(column: str, strength: float) -> NDArray[np.uint8]:
        img = synthesize(editor.edit_styles(w, column, strength, generator.num_ws)) if strength else unmoved
        pixels = to_pixels(img)
        return mosaic(pixels.reshape(-1, min(4, len(pixels)), *pixels.shape[1:]))

    boards = {(name, step): board(name, s) for name in editor.columns for step, s in enumerate(SLIDER)}
    for (column, step), picture in boards.items():  # from here on MLflow's threads want the processor
        mlflow.log_image(picture, key=column, step=step)


def _test_styles(labels: Manifest, count: int) -> torch.Tensor:
    """The first styles of the test split, whole rows of four; no more parts are read than it takes."""
    styles = torch.empty(0)
    for entry in labels.files:
        part = read_part(LABELS, entry, labels.schema, ["split", "w"])
        part = part.filter([split == "test" for split in part["split"].to_pylist()])
        w, _ = to_tensors(part)
        styles = w if len(styles) == 0 else torch.cat([styles, w])
        if len(styles) >= count:
            break
    count = min(count, len(styles))
    return styles[: count - count % 4 if count > 4 else count]


def _settings(params: Params, name: str) -> dict[str, str]:
    """What determines the result, one dotted key for each value."""
    shared = ("generator", "labeler", "sample", "label", "pullback", "train", "evaluate")
    sections = {section: dataclasses.asdict(getattr(params, section)) for section in shared}
    sections["editor"] = dataclasses.asdict(params.editor_settings(name))
    return {
        f"{section}.{key}": str(value)
        for section, values in sections.items()
        for key, value in values.items()
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers of nested mappings as ``outer/inner``; lists and text are left to the artifacts."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _note(params: Params, content: Content) -> str:
    """The run's description in the UI."""
    return (
        f"**{content.name}** edits faces of `{params.generator.name}`; "
        f"{params.publish.headline} {content.headline:.4g}.\n\n"
        "- *Artifacts → explorer.html*: pick a face and slide its attributes.\n"
        "- *Artifacts → figures*: edits, traversals, what each edit moves.\n"
        f"- *Images*: one key for each attribute; steps 0 to {len(SLIDER) - 1} are strengths "
        f"{SLIDER[0]:+g} to {SLIDER[-1]:+g} σ.\n"
    )
