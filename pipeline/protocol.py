"""What is asked of every editor, and the scales that it is asked in."""

from __future__ import annotations

__all__ = ["Protocol", "Scales", "scales_of"]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.metrics.matching import directions
from pipeline.metrics.realism import Mahalanobis

Floats = NDArray[np.float64]
Sides = Literal["other", "both"]

PERCENTILES = (0.01, 0.99)  # the ends of a column's range: the outermost values are the labeler's slips
TARGETS = (0.15, 0.85)  # quantiles of the labeler that overwritten attributes are set to


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """What the training split says of the labeler and of styles.

    Attributes:
        columns: names of the K columns.
        sigma: standard deviation of each column, ``[K]``.
        low: the first percentile of each column.
        high: the last one.
        targets: the values that overwritten attributes are set to, ``[2, K]``.
        manifold: distance of styles from the training styles.
    """

    columns: tuple[str, ...]
    sigma: Floats
    low: Floats
    high: Floats
    targets: Floats
    manifold: Mahalanobis


def scales_of(w: NDArray[np.float32], attrs: Floats, columns: Sequence[str]) -> Scales:
    """The scales of training rows ``w [N, w_dim]`` with labels ``attrs [N, K]``."""
    low, high = np.quantile(attrs, PERCENTILES, axis=0)
    return Scales(
        columns=tuple(columns),
        sigma=attrs.std(axis=0),
        low=low,
        high=high,
        targets=np.quantile(attrs, TARGETS, axis=0),
        manifold=Mahalanobis.fit(w),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is asked of every edit.

    Attributes:
        deltas: the moves of the labeler that edits are matched to, in ``sigma``, rising.
        sides: ``other``, one edit toward the other side of the attribute's range, or ``both``, one to each.
        tolerance: how exactly, in the same unit.
        sigma: standard deviation of each column of the labeler over the training split, ``[K]``.
        low: the first percentile of each column over the training split, ``[K]``.
        high: the last one.
        batch: images that go through the networks at once.
        manifold: how far styles are from the training styles.
    """

    deltas: tuple[float, ...]
    sides: Sides
    tolerance: float
    sigma: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    batch: int
    manifold: Mahalanobis

    @classmethod
    def of(
        cls, scales: Scales, *, deltas: Sequence[float], sides: Sides, tolerance: float, batch: int
    ) -> Protocol:
        """The protocol on the scales of a training split; the arguments are the attributes."""
        return cls(
            deltas=tuple(deltas),
            sides=sides,
            tolerance=tolerance,
            sigma=tuple(scales.sigma.tolist()),
            low=tuple(scales.low.tolist()),
            high=tuple(scales.high.tolist()),
            batch=batch,
            manifold=scales.manifold,
        )

    def requests(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Where edits go: ``toward [S, N, K]``, +1 or -1, and the ``room [S, N, K]`` there, in σ.

        To the other side there is always room enough for one standard deviation, so every such edit is posed;
        to both sides an edit is posed if the labeler's range over the training split has room for it.

        Arguments:
            labels: the labeler on the originals, ``[N, K]``.
        """
        if self.sides == "other":
            toward = self.other_side(labels)[None]
            return toward, torch.full_like(toward, torch.inf)
        sigma, low, high = (torch.tensor(x).double() for x in (self.sigma, self.low, self.high))
        up = torch.ones_like(labels)
        return torch.stack([up, -up]), torch.stack([high - labels, labels - low]) / sigma

    def other_side(self, labels: Tensor) -> Tensor:
        """Toward the other side of each attribute's range, +1 or -1: ``[N, K]``, like ``labels``."""
        low, high = (torch.tensor(x).double() for x in (self.low, self.high))
        return directions(labels, low, high)

    def distance(self, styles: NDArray) -> NDArray:
        """How far styles are from the training styles, ``[N]``; of per-layer ones their layers' mean."""
        rows = styles.reshape(-1, styles.shape[-1])
        return self.manifold(rows).reshape(len(styles), -1).mean(axis=1)
