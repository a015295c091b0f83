"""What an evaluation puts an editor through: which latents, in which trials."""

from __future__ import annotations

__all__ = ["INVERTED", "OUTSIDE", "Trial", "orders_of", "plan"]

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.protocol import Scales
from pipeline.reporting import EvaluateParams

SEQUENCE = 5  # edits one after the other, at most
OUTSIDE, INVERTED = "outside", "inverted"


@dataclass(frozen=True, slots=True)
class Trial:
    """Latents and what they are put through.

    Attributes:
        name: of the trial's results.
        kind: the function of :mod:`pipeline.trials`.
        w: the latents ``[N, w_dim]``.
        arguments: of that function.
        first: arguments that say how many of the first latents get more of it.
    """

    name: str
    kind: str
    w: NDArray[np.float32]
    arguments: Mapping[str, Any]
    first: Mapping[str, int] = field(default_factory=dict)

    def chunks(self, size: int) -> Iterator[dict[str, Any]]:
        """The trial in parts of at most ``size`` latents."""
        for at in range(0, len(self.w), size):
            part = self.w[at : at + size]
            counts = {name: max(0, min(count - at, len(part))) for name, count in self.first.items()}
            yield {"trial": self.kind, "group": self.name, "w": part, **self.arguments, **counts}


def orders_of(columns: Sequence[str], seed: int) -> list[list[int]]:
    """Three orders of the same attributes, up to five of them: one, its reverse, and another.

    They are places in ``columns``; of a categorical attribute's classes one, for they contradict each other.
    """
    random = np.random.default_rng(seed)
    own = list({column.partition(".")[0]: place for place, column in enumerate(columns)}.values())
    chosen = random.permutation(own)[:SEQUENCE]
    return [chosen.tolist(), chosen[::-1].tolist(), random.permutation(chosen).tolist()]


def plan(
    params: EvaluateParams,
    scales: Scales,
    w: NDArray[np.float32],
    outside: NDArray[np.float32],
    inverted: NDArray[np.float32] | None = None,
) -> list[Trial]:
    """The trials that the parameters ask for.

    Arguments:
        params: how many latents each trial gets; 0 leaves it out.
        scales: of the training split.
        w: test latents ``[N, w_dim]``.
        outside: latents from elsewhere ``[M, w_dim]``.
        inverted: latents of pictures ``[P, w_dim]``, if there are any.
    """
    drawn = max(params.faces, params.explorer_faces)
    single = Trial(
        "edits",
        "edits",
        w,
        {"delta": params.delta, "positions": params.explorer_steps},
        {"drawn": drawn, "slid": params.slider_faces},
    )
    overwrite = Trial("overwrite", "overwrite", w[: params.overwrite_faces], {"targets": scales.targets})
    sequences = [
        Trial(
            f"sequence {n}", "sequence", w[: params.sequence_faces], {"order": order, "delta": params.delta}
        )
        for n, order in enumerate(orders_of(scales.columns, params.seed))
    ]
    elsewhere = [
        Trial(name, "outside", latents, {"delta": params.delta})
        for name, latents in ((OUTSIDE, outside), (INVERTED, inverted))
        if latents is not None
    ]
    return [trial for trial in (single, overwrite, *sequences, *elsewhere) if len(trial.w)]
