"""Trainings to be watched and killed, and what the plain loop makes of the same parameters."""

from __future__ import annotations

import contextlib
import csv
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from pipeline.config import load_params
from pipeline.editors import FitContext, editor_class, save_editor
from pipeline.generators import load_generator
from pipeline.generators.pullback import load_metric
from pipeline.loop import Loop
from pipeline.splits import read_split
from tests.ranks import EDIT_TERMS
from tests.tiny import (
    STYLEAE,
    fill_labels,
    fill_metric,
    make_tiny_project,
    stage_command,
    stage_environment,
)

EDITOR = Path("models/styleae")
# By the image loss, as published but for the sizes.
PUBLISHED = {
    **STYLEAE,
    **dict.fromkeys(EDIT_TERMS, 0.0),
    "coordinates": "w",
    "start": "orthogonal",
    "residual": False,
    "reconstruction": "image",
    "schedule": "constant",
    "batch_size": 16,
    "learning_rate": 1e-3,
}
LOSSES = ("loss", "val_loss", "reconstruction", "hinge", "attributes")
TOLERANCE = {"rel": 5e-2, "abs": 1e-6}  # over 30 epochs, 120 steps; see tests/ranks.py for the reason


def ready_for(epochs: int) -> None:
    """Make a project in the working directory that is ready to train by the image loss."""
    editor = {**PUBLISHED, "epochs": epochs, "patience": epochs}
    make_tiny_project(Path.cwd(), {"editor.styleae": editor, "train.checkpoint_epochs": 3})
    fill_labels()
    fill_metric()


def change_cluster(address: str = "local", **train: object) -> None:
    """Change where the trainings run, and their resources."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["cluster"]["address"] = address
    params["cluster"]["train"] |= train
    Path("params.yaml").write_text(yaml.safe_dump(params))


def train_without_ray(name: str) -> list[dict[str, float]]:
    """Train to the end, and save the editor in ``expected``; its history."""
    params = load_params()
    settings = params.editor_settings(name)
    train, val = (read_split("data/labels", split, rows=params.train.rows) for split in ("train", "val"))
    context = FitContext(
        load_generator=lambda: load_generator(params.generator.weights),
        load_metric=lambda: load_metric("data/pullback"),
    )
    editor = editor_class(settings.kind).build(settings, train, context, params.train.seed)
    objective = editor.objective(settings, context)
    history = []
    if objective is not None:
        loop = Loop(objective, objective, settings, train, val, params.train.seed)
        while not loop.finished:
            loop.run_epoch()
        loop.load_best()
        history = loop.history
    save_editor(editor, "expected")
    return history


def history() -> list[dict[str, str]]:
    with open(EDITOR / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_curve(expected: list[dict[str, float]], names: Sequence[str] = LOSSES) -> None:
    """The training's history has the losses of another one."""
    for name in names:
        curve = [float(row[name]) for row in history()]
        assert curve == pytest.approx([row[name] for row in expected], **TOLERANCE), name


def reported() -> list[dict[str, float]]:
    """The epochs that the running training has told its driver of."""
    files = Path(".work/train").glob("*.jsonl")
    return [
        json.loads(line) for path in files for line in path.read_text().splitlines() if line.endswith("}")
    ]


def snapshots() -> list[Path]:
    """What Ray Train writes when it has taken a checkpoint over."""
    return list(Path(".work/train").glob("styleae-*/checkpoint_manager_snapshot.json"))


@contextlib.contextmanager
def training(until: Callable[[], object], **variables: str) -> Iterator[subprocess.Popen[str]]:
    """The train stage, running, when the condition holds."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        stage_command("train", "styleae"), env=stage_environment(**variables), text=True, **pipes
    ) as run:
        try:
            while not until() and run.poll() is None:
                time.sleep(0.01)
            yield run
        finally:
            run.kill()
