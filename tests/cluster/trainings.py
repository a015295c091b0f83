"""Trainings to be watched and killed, and what the plain loop makes of the same parameters."""

from __future__ import annotations

import contextlib
import csv
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline.config import load_params
from pipeline.editors import FitContext, editor_class, save_editor
from pipeline.generators import load_generator
from pipeline.generators.pullback import load_metric
from pipeline.loop import Loop
from pipeline.splits import read_split
from tests.tiny import stage_command, stage_environment

EDITOR = Path("models/styleae")


def train_without_ray(name: str, epochs: int | None = None) -> list[dict[str, float]]:
    """Train to the end, or for some epochs, and save the editor in ``expected``; its history."""
    params = load_params()
    settings = params.editor_settings(name)
    train, val = (read_split("data/labels", split) for split in ("train", "val"))
    context = FitContext(
        load_generator=lambda: load_generator(params.generator.weights),
        load_metric=lambda: load_metric("data/pullback"),
    )
    editor = editor_class(settings.kind).build(settings, train, context, params.train.seed)
    objective = editor.objective(settings, context)
    history = []
    if objective is not None:
        loop = Loop(objective, objective, settings, train, val, params.train.seed)
        while not loop.finished and loop.epoch != epochs:
            loop.run_epoch()
        loop.load_best()
        history = loop.history
    save_editor(editor, "expected")
    return history


def history() -> list[dict[str, str]]:
    with open(EDITOR / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


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
