"""Several workers of a training on a real Ray: one is lost, and still the curve is that of the plain loop."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from pipeline.config import load_params
from pipeline.tracking import open_store
from tests.cluster.trainings import EDITOR, history, reported, snapshots, train_without_ray, training
from tests.ranks import EDIT_TERMS
from tests.tiny import STYLEAE, fill_labels, fill_metric, make_tiny_project

pytestmark = pytest.mark.slow  # minutes on a busy machine
TOLERANCE = {"rel": 5e-2, "abs": 1e-6}  # of losses after 30 epochs, 120 steps; 1.2e-2 was seen
EPOCHS = 30


@pytest.fixture
def images(project):
    """A project that is ready to train by the image loss, as published but for the sizes."""
    published = {"coordinates": "w", "start": "orthogonal", "residual": False, "reconstruction": "image"}
    editor = {**STYLEAE, **published, **dict.fromkeys(EDIT_TERMS, 0.0), "schedule": "constant"}
    editor |= {"epochs": EPOCHS, "patience": EPOCHS, "batch_size": 16, "learning_rate": 1e-3}
    make_tiny_project(project, {"editor.styleae": editor, "train.checkpoint_epochs": 3})
    fill_labels()
    fill_metric()
    return project


def change(section: str, name: str, **values: object) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section][name] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def assert_curve(found, expected):
    for name in ("loss", "val_loss", "reconstruction", "hinge", "attributes"):
        curve = [float(row[name]) for row in found]
        assert curve == pytest.approx([row[name] for row in expected], **TOLERANCE), name


def logged() -> dict[str, Counter[int]]:
    """How often each metric of the only run in MLflow has each step."""
    from mlflow import MlflowClient

    client = MlflowClient(open_store(load_params()).uri)
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    (run,) = client.search_runs(experiments)
    return {
        name: Counter(metric.step for metric in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }


def test_two_workers_go_on_where_one_was_killed_and_lose_one_of_them(images, find_process):
    expected = train_without_ray("styleae")
    with training(until=snapshots) as run:
        run.kill()
    while find_process("RayTrainWorker"):  # Ray ends what the driver started
        time.sleep(0.1)
    for lines in Path(".work/train").glob("*.jsonl"):
        lines.unlink()

    change("cluster", "train", workers=2, cpus=0.5)
    everyone = {"RAY_TRAIN_CALLBACKS": "tests.cluster.reports.EveryRank"}
    with training(until=lambda: len(reported()) >= 2, **everyone) as run:
        first = reported()[0]
        assert first["epoch"] >= 3 and first["workers"] == 2
        os.kill(find_process("RayTrainWorker")[0], signal.SIGKILL)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")

    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert_curve(history(), expected)
    found, whole = (load_file(folder / "weights.safetensors") for folder in (EDITOR, Path("expected")))
    for name, tensor in whole.items():
        assert found[name].numpy() == pytest.approx(tensor.numpy(), rel=1e-2, abs=1e-3), name

    # One run, every epoch of every metric once, though some were computed twice; all ranks reported each.
    assert {name: steps == Counter(range(EPOCHS)) for name, steps in logged().items()} == dict.fromkeys(
        set(history()[0]) - {"epoch"}, True
    )
    reports = [json.loads(line) for line in Path("reports.jsonl").read_text().splitlines()]
    assert {len(epochs) for epochs in reports} == {2}
    assert all(one == other for one, other in reports)
    assert len(reports) >= EPOCHS - first["epoch"]
