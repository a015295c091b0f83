"""Training of the embedded domain's classifiers: labeler, judge and identity (see ``portraits.tasks``).

A call that was killed goes on from its last whole epoch, to the same weights.

Example:
    ``python -m portraits.train_classifiers labeler``
"""

from __future__ import annotations

__all__ = ["OUT", "SCORES", "rounded", "train"]

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch

from pipeline.console import progress, result, run_stage, stage
from pipeline.weights import save_weights, write_atomic
from portraits.factors import ATTRIBUTES
from portraits.recipes import ROLES, Recipe, load_recipe
from portraits.renders import CACHE, HELD_OUT, open_renders, write_renders
from portraits.tasks import Task, augment, build_task

OUT = Path("models/portraits64")
SCORES = "scores.json"
CHECKPOINT = "checkpoint.pt"
WEIGHT_DECAY = 0.01


def train(role: str, recipe: Recipe, cache: Path = CACHE, out: Path = OUT) -> dict[str, Any]:
    """Train one classifier, going on from its last whole epoch, and write its network folder and scores.

    Arguments:
        role: ``labeler``, ``judge`` or ``identity``.
        recipe: how.
        cache: folder of the rendered portraits and of the checkpoint.
        out: parent of the network's folder.

    Returns:
        The held-out scores.
    """
    renders = open_renders(role, cache)
    count = len(renders.factors) - HELD_OUT
    task = build_task(role, recipe.seed, renders.factors[:count])
    optimizer = torch.optim.AdamW(task.parameters(), lr=recipe.learning_rate, weight_decay=WEIGHT_DECAY)
    steps = recipe.epochs * (count // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, steps, pct_start=0.2, div_factor=10
    )
    parts = {"task": task, "optimizer": optimizer, "schedule": schedule}
    checkpoint = cache / role / CHECKPOINT
    first = _resume(checkpoint, recipe, parts)
    with progress(recipe.epochs * count, "portraits") as bar:
        bar.skip(first * count)
        for epoch in range(first, recipe.epochs):
            generator = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
            for rows in task.train().batches(count, recipe.batch_size, generator):
                loss = task(augment(renders.batch(rows), generator), renders.factors[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.advance(len(rows), f"loss {loss.item():.3f}")
            _save(checkpoint, recipe, epoch + 1, parts)
    scores = task.eval().score(renders, torch.arange(count, count + HELD_OUT))
    _write(out / role, task, {"rows": HELD_OUT, **scores})
    checkpoint.unlink(missing_ok=True)
    return scores


def _write(folder: Path, task: Task, scores: dict[str, Any]) -> None:
    save_weights(folder, task.network.state_dict(), task.network.config())
    write_atomic(folder / SCORES, (json.dumps(rounded(scores), indent=2) + "\n").encode())


def _resume(checkpoint: Path, recipe: Recipe, parts: dict[str, Any]) -> int:
    """Fill the parts from a checkpoint of the same recipe and return how many epochs it has done."""
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True)
    if saved["recipe"] != repr(recipe):
        return 0
    for name, part in parts.items():
        part.load_state_dict(saved[name])
    return saved["epoch"]


def _save(checkpoint: Path, recipe: Recipe, epoch: int, parts: dict[str, Any]) -> None:
    """Write a checkpoint that replaces the last one when it is whole."""
    partial = checkpoint.with_suffix(".partial")
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"recipe": repr(recipe), "epoch": epoch, **states}, partial)
    partial.replace(checkpoint)


def rounded(value: Any) -> Any:  # noqa: ANN401
    """Numbers to five digits, so that a re-run elsewhere changes no more lines than it must."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 5) if isinstance(value, float) else value


def _summary(role: str, scores: dict[str, Any]) -> str:
    if role == "identity":
        return f"identity: AUC {scores['auc']:.4f}, found first {scores['found_first']:.3f}"
    said = (f"{name} {next(iter(scores['natural'][name].values())):.3f}" for name in ATTRIBUTES)
    return f"{role}: " + ", ".join(said)


def main() -> None:
    """Train one classifier from the command line."""
    parser = argparse.ArgumentParser(
        description="Train a classifier of the embedded domain on rendered portraits."
    )
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--out", type=Path, default=OUT, help="parent of the network's folder")
    arguments = parser.parse_args()
    role, recipe = arguments.role, load_recipe(arguments.role)
    with stage(f"train {role}"):
        write_renders(role, recipe.count, recipe.seed)
        result(_summary(role, train(role, recipe, out=arguments.out)))


if __name__ == "__main__":
    sys.exit(run_stage(main)())
