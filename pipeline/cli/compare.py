"""``python -m pipeline compare``: every peer trained and evaluated on one protocol, in its own folder."""

from __future__ import annotations

__all__ = ["compare_peers", "trainings_yaml"]

import os
from pathlib import Path

import yaml

from pipeline import console
from pipeline.cli.compose import compose
from pipeline.cli.repro import repro
from pipeline.cli.summary import show_table
from pipeline.config import Params, load_params
from pipeline.errors import PipelineError
from pipeline.weights import write_atomic

FOLDER = Path("comparisons")
TRAININGS = "trainings.yaml"
NOTE = (
    "# What dvc.yaml trains and evaluates: `python -m pipeline compare` writes it from editors and seeds.\n"
)


def compare_peers(config: str, folder: str, overrides: list[str]) -> None:
    """Compose the parameters of a comparison and run its stages that are not up to date.

    Arguments:
        config: the file of ``conf/`` that says which editors, latents and seeds.
        folder: the folder of ``comparisons/`` in which the stages run.
        overrides: Hydra overrides.

    Raises:
        PipelineError: when there is no such comparison, or a stage fails.
    """
    place = FOLDER / folder
    if not (place / "dvc.yaml").is_file():
        known = ", ".join(sorted(path.parent.name for path in FOLDER.glob("*/dvc.yaml")))
        raise PipelineError(f"expected a comparison in {FOLDER}/, got {folder!r}: known: {known or 'none'}")
    compose(overrides, place / "params.yaml", config=config)
    write_atomic(place / TRAININGS, trainings_yaml(load_params(place / "params.yaml")).encode())
    os.chdir(place)
    repro(show=show_table)
    console.result(f"the whole report: {place / 'comparison' / 'report.md'}")


def trainings_yaml(params: Params) -> str:
    """``trainings.yaml``: what the stages ``train@EDITOR-SEED`` and ``evaluate@EDITOR-SEED`` go through."""
    names = [training.split("@") for editor in params.editor for training in params.trainings_of(editor)]
    trainings = {f"{editor}-{seed}": {"editor": editor, "seed": int(seed)} for editor, seed in names}
    return NOTE + yaml.safe_dump({"trainings": trainings}, sort_keys=False, default_flow_style=None)
