"""A tiny project whose editors are trained, and evaluations of them without Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import elsewhere, evaluation
from pipeline.config import load_params
from pipeline.data import read_table, to_tensors
from pipeline.editors import EditingData, editor_class, save_editor
from tests.tiny import COLUMNS, fill_labels, make_tiny_project

EDITORS = ("interfacegan", "plain")
FULL: dict[str, Any] = {
    "count": 20,
    "chunk": 10,
    "deltas": [0.25, 1.0],
    "sides": "both",
    "slider_faces": 3,
    "overwrite_faces": 3,
    "sequence_faces": 3,
    "outside_faces": 3,
    "code": True,
    "timings": True,
}
"""All of the protocol, for as few latents as it takes."""


class Mapped:
    """``map_shards`` without Ray, in reverse order; notes how many shards each call had."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(
        self,
        shards: Sequence[Mapping[str, Any]],
        actor_class: type,
        actor_kwargs: Mapping[str, Any],
        resources: Any,
        on_result: Any,
    ) -> list[Mapping[str, Any]]:
        self.counts.append(len(shards))
        actor, results = actor_class(**actor_kwargs, device="cpu"), {}
        for i in reversed(range(len(shards))):
            results[i] = actor(shards[i])
            on_result(results[i])
        return [results[i] for i in range(len(shards))]


def without_ray(patch: pytest.MonkeyPatch) -> Mapped:
    """Evaluate in this process from now on."""
    mapped = Mapped()
    for module in (evaluation, elsewhere):
        patch.setattr(module, "connect", lambda params: nullcontext())
        patch.setattr(module, "map_shards", mapped)
    return mapped


def train_editor(name: str) -> None:
    """A closed-form editor with its history, in the working directory."""
    settings = load_params().editor_settings(name)
    w, attrs = to_tensors(read_table("data/labels", split="train"), COLUMNS)
    editor = editor_class(settings.kind).build(settings, EditingData(w, attrs, COLUMNS), None, 0)
    save_editor(editor, f"models/{name}")
    Path(f"models/{name}/history.csv").write_text("epoch,seconds\n0,1.5\n")


def make_trained_project(
    project: Path, names: Sequence[str] = EDITORS, count: int = 80, **sections: Any
) -> Path:
    """A tiny project with labels and two editors, trained under these names."""
    editors = {
        "interfacegan": {"kind": "interfacegan"},
        "plain": {"kind": "interfacegan", "conditional": False},
    }
    make_tiny_project(project, {"editor": editors, "sample.count": count})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        change_params(**sections)
        fill_labels()
        for name in names:
            train_editor(name)
    return project


def change_params(**sections: Mapping[str, Any]) -> None:
    """Other values in ``params.yaml`` of the working directory."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    for name, values in sections.items():
        params[name] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
