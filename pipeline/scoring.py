"""From style vectors to a classifier's scores, on one device: what labelling spreads over a cluster."""

from __future__ import annotations

__all__ = ["DTYPES", "Precision", "check_precision", "scores_of"]

from typing import Literal

import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.generators.base import Generator, Synthesis
from pipeline.labelers.base import Labeler

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def check_precision(generator: Generator, precision: Precision) -> None:
    """Refuse half precision for a generator whose activations may leave its range.

    Raises:
        PipelineError: saying what to set instead.
    """
    if precision == "fp16" and not generator.bounded:
        raise PipelineError(
            "expected a generator with conv_clamp for label.precision fp16, got one without: use bf16 or fp32"
        )


@torch.no_grad()
def scores_of(synthesize: Synthesis, labeler: Labeler, w: Tensor, precision: Precision = "fp32") -> Tensor:
    """Raw outputs ``[N, K]`` of the labeler for style vectors ``[N, w_dim]``, float32, on the CPU.

    Images stay on the device of ``w``, which is the networks', too.

    Arguments:
        synthesize: of a generator, prepared in the same precision.
        labeler: the classifier; below fp32 it runs under autocast.
        w: the style vectors.
        precision: what the networks compute in.
    """
    img = synthesize(w)
    with torch.autocast(w.device.type, DTYPES[precision], enabled=precision != "fp32"):
        return labeler(img).float().cpu()
