"""What an editor costs: parameters, seconds of training, milliseconds of an edit."""

from __future__ import annotations

__all__ = ["edit_milliseconds", "parameter_count", "training_cost"]

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipeline.editors import Editor

NEAR = 0.05
"""Nearly as good as the best: this share of the way from the first validation loss to the best is left."""

TURNS = 15


def parameter_count(editor: Editor) -> int:
    """Numbers that a saved editor holds, trained or measured."""
    return sum(values.numel() for values in editor.state_dict().values())


def training_cost(history: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """``train_seconds``; the seconds to the best validation loss, and to nearly the best; the peak memory.

    Arguments:
        history: the columns of an editor's ``history.csv``: an epoch a row, or one row for a closed form.
    """
    seconds, losses = history.get("seconds", []), history.get("val_loss", [])
    found = {"train_seconds": round(sum(seconds), 3)}
    if losses:
        best = min(losses)
        near = best + NEAR * (losses[0] - best)
        for name, bound in (("best", best), ("near_best", near)):
            epoch = next(i for i, loss in enumerate(losses) if loss <= bound)
            found[f"seconds_to_{name}"] = round(sum(seconds[: epoch + 1]), 3)
    if memory := history.get("peak_mib", []):
        found["peak_mib"] = round(max(memory), 1)
    return found


@torch.inference_mode()
def edit_milliseconds(editor: Editor, w: Tensor, batch: int) -> float:
    """The time of one call of ``edit`` on ``batch`` rows of ``w``, the first attribute by one unit.

    The fastest of several: what else runs on the machine can only add to it.
    """
    rows = w[torch.arange(batch) % len(w)]

    def once() -> float:
        started = time.perf_counter()
        editor.edit(rows, editor.columns[0], 1.0).sum().item()  # which waits for a GPU
        return (time.perf_counter() - started) * 1e3

    once()
    return round(min(once() for _ in range(TURNS)), 4)
