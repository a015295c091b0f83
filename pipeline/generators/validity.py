"""How well the pull-back metric says how far apart two images are.

The quadratic form ``dᵀ M d`` is set against the mean squared pixel change that the step d really makes, for
steps of several sizes: their ratio says whether the form is right on average, their correlation whether it
tells one step from another.
"""

from __future__ import annotations

__all__ = ["FRACTIONS", "RIGHT", "image_changes", "valid_up_to", "validity"]

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from pipeline.generators.base import Synthesis
from pipeline.generators.low_rank import Metric, quadratic_form

FRACTIONS = (0.03, 0.1, 0.3, 1.0)
"""Sizes of the steps that are tried: shares of the way between two unrelated styles."""

RIGHT = 1.5
"""Within this factor of the real change, in the median, the form counts as right."""


@torch.no_grad()
def image_changes(synthesize: Synthesis, w: Tensor, steps: Tensor) -> Tensor:
    """The mean squared pixel changes that steps make: ``[N, S]``, float64, on the CPU.

    Arguments:
        synthesize: styles to images.
        w: where the steps begin, ``[N, w_dim]``.
        steps: S steps of each style, ``[N, S, w_dim]``.
    """
    img = synthesize(w).double()
    changes = [(synthesize(w + step).double() - img).square().mean(dim=(1, 2, 3)) for step in steps.unbind(1)]
    return torch.stack(changes, dim=1).cpu()


def validity(
    metric: Metric, steps: Tensor, changes: Tensor, sizes: Sequence[float] = FRACTIONS
) -> list[dict[str, Any]]:
    """Form over real change, one row for each size of step.

    Arguments:
        metric: the metric.
        steps: ``[N, S, w_dim]``.
        changes: what :func:`image_changes` found, ``[N, S]``.
        sizes: what to call the S sizes.

    Returns:
        Rows of ``size``, ``ratio`` (the median), ``low`` and ``high`` (its tenth and ninetieth percentile)
        and ``correlation`` (of the logarithms, so that no large step outweighs the others).
    """
    rows = []
    for index, size in enumerate(sizes):
        predicted, real = quadratic_form(metric, steps[:, index]), changes[:, index]
        ratio = predicted / real.clamp_min(1e-30)
        low, median, high = torch.quantile(ratio, ratio.new_tensor([0.1, 0.5, 0.9])).tolist()
        x, y = (values.clamp_min(1e-30).log() for values in (predicted, real))
        correlation = float(torch.cosine_similarity(x - x.mean(), y - y.mean(), dim=0))
        rows.append({"size": size, "ratio": median, "low": low, "high": high, "correlation": correlation})
    return rows


def valid_up_to(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of :func:`validity` in a sentence: up to which size of step the form is right.

    Example:
        >>> valid_up_to([{"size": 0.1, "ratio": 1.1}, {"size": 1.0, "ratio": 1.8}])
        'right within a factor of 1.5 up to 10% of the way between two styles, 1.80 times the change at 100%'
    """
    right = [row["size"] for row in takewhile(lambda row: 1 / RIGHT <= row["ratio"] <= RIGHT, rows)]
    reach = f"up to {right[-1]:.0%} of the way between two styles" if right else "at no size of step"
    size, ratio = rows[-1]["size"], rows[-1]["ratio"]
    return f"right within a factor of {RIGHT} {reach}, {ratio:.2f} times the change at {size:.0%}"
