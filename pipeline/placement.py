"""What the heavy stages read and make, as paths: what has to travel when a stage runs somewhere else.

``dvc.yaml`` names the same paths, which a test holds.
"""

from __future__ import annotations

__all__ = ["STAGES", "Stage"]

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Params
from pipeline.paths import LABELS, LATENTS, PULLBACK, editor_folder, report_folder

Paths = list[str | Path]


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that may run on a cluster.

    Attributes:
        reads: the files and folders that it reads; given the parameters and the stage's arguments.
        makes: the one folder that it makes; given the stage's arguments.
    """

    reads: Callable[..., Paths]
    makes: Callable[..., Path]


def _sample(params: Params) -> Paths:
    return [params.generator.weights]


def _label(params: Params) -> Paths:
    return [params.generator.weights, params.labeler.weights, LATENTS]


def _pullback(params: Params) -> Paths:
    return [params.generator.weights]


def _train(params: Params, editor: str) -> Paths:
    return [params.generator.weights, params.labeler.weights, LABELS, PULLBACK]


def _evaluate(params: Params, editor: str) -> Paths:
    labeler, pictures = params.labeler, params.evaluate.pictures
    networks: Paths = [params.generator.weights, labeler.weights, labeler.judge, labeler.identity]
    optional = [path for path in (labeler.perceptual, pictures) if path]
    return [*networks, *optional, LABELS, editor_folder(editor)]


STAGES = {
    "sample": Stage(_sample, lambda: LATENTS),
    "label": Stage(_label, lambda: LABELS),
    "pullback": Stage(_pullback, lambda: PULLBACK),
    "train": Stage(_train, editor_folder),
    "evaluate": Stage(_evaluate, report_folder),
}
"""The heavy stages by their names."""
