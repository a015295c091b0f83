"""Scores of style vectors: images are made and classified where the networks are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pipeline.labelers import ConvNet
from pipeline.scoring import scores_of
from tests.fakes import ATTRIBUTES
from tests.generators import frozen


class Leaving(TorchFunctionMode):
    """Notes the shape of what is copied to the CPU, and copies zeros, for meta tensors have no values."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.cpu:
            self.shapes.append(tuple(args[0].shape))
            return torch.zeros(args[0].shape)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("resolution", [16, 8])
def test_scores_are_all_that_leaves_the_device(monkeypatch: pytest.MonkeyPatch, resolution: int) -> None:
    """On the meta device, which has no values: whatever else looked at an image from outside would raise."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())  # of types, not devices
    generator = frozen().to("meta")
    labeler = ConvNet(ATTRIBUTES, resolution=resolution, widths=(4, 4)).eval().to("meta")
    w = torch.empty(5, generator.w_dim, device="meta")
    with Leaving() as leaving:
        scores = scores_of(generator.prepare(), labeler, w)
    assert leaving.shapes == [(5, len(ATTRIBUTES))] and scores.shape == (5, len(ATTRIBUTES))
