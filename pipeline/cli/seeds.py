"""``python -m pipeline seeds``: an editor trained with several seeds at once, to see how they differ."""

from __future__ import annotations

__all__ = ["train_seeds"]

import statistics
from pathlib import Path
from typing import cast

from pipeline import console
from pipeline.config import load_params
from pipeline.editors import FitContext, Objective, editor_class, save_editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.pullback import load_metric
from pipeline.loop import LoopSettings
from pipeline.members import train_members
from pipeline.paths import LABELS, PULLBACK
from pipeline.splits import read_split


def train_seeds(name: str, count: int, out: Path) -> None:
    """Train an editor of ``params.yaml`` with ``count`` seeds, from ``train.seed`` on, as one batched model.

    Arguments:
        name: the editor.
        count: how many seeds.
        out: gets an editor's folder for each seed, ``out/<seed>``.

    Raises:
        PipelineError: when the editor is in closed form, or its labels or metric are not there.
    """
    params = load_params()
    settings = params.editor_settings(name)
    if not hasattr(settings, "epochs"):
        raise PipelineError(
            f"expected an editor that is trained, got {name!r} in closed form: it has no seeds"
        )
    if count < 1:
        raise PipelineError(f"expected at least one seed, got --count {count}: raise it")
    seeds = range(params.train.seed, params.train.seed + count)
    train, val = (read_split(LABELS, split, rows=params.train.rows) for split in ("train", "val"))
    context = FitContext(
        load_generator=lambda: load_generator(params.generator.weights),
        load_metric=lambda: load_metric(PULLBACK),
    )
    objectives = []
    with console.progress(count, "editors built") as bar:
        for seed in seeds:
            editor = editor_class(settings.kind).build(settings, train, context, seed)
            objectives.append(cast(Objective, editor.objective(settings, context)))
            bar.advance()
    loop = cast(LoopSettings, settings)
    with console.progress(loop.epochs, "epochs") as bar:
        losses = train_members(objectives, loop, train, val, seeds, lambda epoch, _: bar.advance())
    for seed, objective in zip(seeds, objectives, strict=True):
        save_editor(objective.editor, out / str(seed))
    console.table(["seed", "validation loss"], [(s, f"{x:.4f}") for s, x in zip(seeds, losses, strict=True)])
    spread = statistics.stdev(losses) if count > 1 else 0.0
    console.result(f"mean {statistics.mean(losses):.4f}, standard deviation {spread:.4f}; editors in {out}")
