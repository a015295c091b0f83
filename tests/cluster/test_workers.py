"""Several workers of a training on a real Ray: one is lost, and still the curve is that of the plain loop."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pipeline.config import load_params
from pipeline.tracking import open_store
from tests.cluster.trainings import (
    EDITOR,
    assert_curve,
    change_cluster,
    history,
    ready_for,
    reported,
    snapshots,
    train_without_ray,
    training,
)

pytestmark = pytest.mark.slow  # minutes on a busy machine
EPOCHS = 30


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


def test_a_hung_worker_is_replaced_and_the_training_goes_on(project, find_process):
    ready_for(EPOCHS)
    expected = train_without_ray("styleae")
    change_cluster(hang_seconds=5.0)
    with training(until=snapshots) as run:
        (hung,) = find_process("RayTrainWorker")
        os.kill(hung, signal.SIGSTOP)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert_curve(expected)


def test_two_workers_go_on_where_one_was_killed_and_lose_one_of_them(project, find_process):
    ready_for(EPOCHS)
    expected = train_without_ray("styleae")
    with training(until=snapshots) as run:
        run.kill()
    while find_process("RayTrainWorker"):  # Ray ends what the driver started
        time.sleep(0.1)
    for lines in Path(".work/train").glob("*.jsonl"):
        lines.unlink()

    change_cluster(workers=2, cpus=0.5)
    everyone = {"RAY_TRAIN_CALLBACKS": "tests.cluster.reports.EveryRank"}
    with training(until=lambda: len(reported()) >= 2, **everyone) as run:
        first = reported()[0]
        assert first["epoch"] >= 3 and first["workers"] == 2
        os.kill(find_process("RayTrainWorker")[0], signal.SIGKILL)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")

    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert_curve(expected)
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
