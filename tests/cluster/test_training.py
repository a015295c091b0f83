"""The train stage on a real Ray; the weights are those of the plain loop without Ray."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.editors import load_editor
from tests.cluster.trainings import EDITOR, history, reported, snapshots, train_without_ray, training
from tests.tiny import fill_labels, fill_metric, make_tiny_project, run_stage

EPOCHS = 40


@pytest.fixture
def labelled(project):
    """A project that is ready to train."""
    make_tiny_project(
        project,
        {"editor.styleae.epochs": EPOCHS, "editor.styleae.patience": EPOCHS, "train.checkpoint_epochs": 3},
    )
    fill_labels()
    fill_metric()
    return project


def test_killed_driver_and_killed_worker_give_the_same_weights(labelled, find_process):
    train_without_ray("styleae")

    with training(until=snapshots) as run:
        run.kill()
        assert run.wait() == -signal.SIGKILL
    assert not EDITOR.exists()
    while find_process("RayTrainWorker"):  # Ray ends what the driver started
        time.sleep(0.1)
    for lines in Path(".work/train").glob("*.jsonl"):
        lines.unlink()

    with training(until=lambda: len(reported()) >= 2) as run:
        assert reported()[0]["epoch"] >= 3  # it went on, it did not begin again
        for worker in find_process("RayTrainWorker"):
            os.kill(worker, signal.SIGKILL)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")

    assert (EDITOR / "weights.safetensors").read_bytes() == Path("expected/weights.safetensors").read_bytes()
    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert not list(Path(".work/train").iterdir())


def test_two_workers_have_the_losses_of_one(project):
    make_tiny_project(project, {"cluster.train.workers": 2, "cluster.train.cpus": 0.5, "train.rows": 40})
    fill_labels()
    fill_metric()
    expected = train_without_ray("styleae")
    run = run_stage(project, "train", "styleae")
    assert run.returncode == 0, run.stderr
    for name in ("loss", "val_loss"):
        found = [float(row[name]) for row in history()]
        assert found == pytest.approx([row[name] for row in expected], rel=1e-3)


def test_closed_form_goes_the_same_way_and_takes_no_gpu(project):
    make_tiny_project(project, {"cluster.train.gpus": 1.0})  # asked of a Ray that has none
    fill_labels()
    fill_metric()
    train_without_ray("interfacegan")
    run = run_stage(project, "train", "interfacegan")
    assert run.returncode == 0, run.stderr
    found = Path("models/interfacegan")
    assert (found / "weights.safetensors").read_bytes() == Path("expected/weights.safetensors").read_bytes()
    assert load_editor(found).kind == "interfacegan"
    assert json.loads((found / "run.json").read_text())["run_id"] is None


def test_an_error_in_a_worker_is_one_line_and_is_not_tried_again(project):
    make_tiny_project(project)
    fill_labels()  # and no pull-back metric, which the editor asks for in the worker
    run = run_stage(project, "train", "styleae")
    assert run.returncode == 1
    assert "expected the pull-back metric" in run.stderr and run.stderr.count("\n") == 1
    assert not EDITOR.exists()
