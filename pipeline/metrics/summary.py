"""From one row per edit to the numbers of a report."""

from __future__ import annotations

__all__ = ["HEADLINE", "Measured", "edits_table", "summarise"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.attributes import same_attribute
from pipeline.metrics.bootstrap import mean_interval
from pipeline.metrics.editing import attribute_dependency, flipped, moves_in_sigma, rescoring_matrix, success

Floats = NDArray[np.float64]

HEADLINE = ("success", "dependency", "identity", "rmse", "psnr", "ssim", "unreached", "flipped")
"""The numbers of an editor, overall and for each attribute, each with the ends of its 95 % interval."""

RECONSTRUCTION = ("rmse", "psnr", "ssim")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a bench found for all latents, and its scales.

    Attributes:
        ids: ``[N]``.
        columns: names of the K columns.
        decided: the columns whose judge output is a decision: a logit, or a class's score.
        arrays: the arrays of ``Bench.measure``, all chunks together.
        delta: the asked move in σ of the labeler.
    """

    ids: NDArray[np.int64]
    columns: tuple[str, ...]
    decided: frozenset[str]
    arrays: Mapping[str, NDArray]
    delta: float

    @property
    def judge_sigma(self) -> Floats:
        """Standard deviation of each column of the judge over the originals of these latents, ``[K]``."""
        return np.maximum(self.arrays["before"].std(axis=0), 1e-6)

    @property
    def moves(self) -> Floats:
        """Moves of the judge in σ, ``[N·K, K]``: one row for each edited attribute of each latent."""
        before = self.arrays["before"].repeat(len(self.columns), axis=0)
        return moves_in_sigma(before, self.arrays["after"].reshape(before.shape), self.judge_sigma)

    @property
    def target(self) -> NDArray[np.int64]:
        """The edited column of each row of ``moves``."""
        return np.tile(np.arange(len(self.columns)), len(self.ids))

    def scores(self) -> dict[str, Floats]:
        """Each number of ``HEADLINE`` for each latent and attribute, ``[N, K]``; NaN if not measured.

        An edit that did not reach its move is a failure, and what it did to the image is not counted: its
        strength has no meaning. ``flipped`` is for binary and categorical attributes alone.
        """
        reached, moves, target = self.arrays["reached"].astype(bool), self.moves, self.target
        shape, direction = reached.shape, self.arrays["direction"].reshape(-1)
        same = same_attribute(self.columns)
        succeeded = success(moves, target, direction, self.delta).reshape(shape) & reached
        changed = {
            "dependency": attribute_dependency(moves, target, same).reshape(shape),
            **{name: self.arrays[name] for name in ("identity", "rmse", "psnr", "ssim")},
        }
        before = self.arrays["before"].repeat(len(self.columns), axis=0)
        after = self.arrays["after"].reshape(before.shape)
        crossed = flipped(before, after, target, same).reshape(shape) & reached
        decided = np.array([name in self.decided for name in self.columns])
        return {
            "success": succeeded.astype(np.float64),
            **{name: np.where(reached, values, np.nan) for name, values in changed.items()},
            "unreached": (~reached).astype(np.float64),
            "flipped": np.where(decided, crossed, np.nan),
        }

    def rescoring(self) -> Floats:
        """The rescoring matrix ``[K, K]`` over the edits that reached their move."""
        rows = self.arrays["reached"].reshape(-1).astype(bool)
        return rescoring_matrix(
            self.moves[rows], self.target[rows], self.arrays["direction"].reshape(-1)[rows]
        )


def edits_table(measured: Measured) -> pa.Table:
    """One row for each attribute of each latent, with a column ``move_NAME`` for each column of the judge."""
    scores = {name: values.reshape(-1) for name, values in measured.scores().items()}
    arrays, moves, names = measured.arrays, measured.moves, np.array(measured.columns)
    return pa.table(
        {
            "id": measured.ids.repeat(len(names)),
            "attribute": names[measured.target],
            **{
                name: arrays[name].reshape(-1)
                for name in ("direction", "strength", "labeler_move", "reached")
            },
            **{name: values for name, values in scores.items() if name != "unreached"},
            **{f"move_{name}": moves[:, k] for k, name in enumerate(names)},
        }
    )


def summarise(measured: Measured, *, resamples: int, seed: int) -> dict[str, Any]:
    """The content of ``metrics.json``: ``HEADLINE`` with ``_low`` and ``_high``, overall and by attribute.

    Whatever could not be measured is absent, so that every leaf is a number.
    """
    scores = measured.scores()

    def with_intervals(values: Mapping[str, Floats]) -> dict[str, float]:
        found = {name: mean_interval(v, resamples=resamples, seed=seed) for name, v in values.items()}
        ends = {
            name: {name: i.mean, f"{name}_low": i.low, f"{name}_high": i.high} for name, i in found.items()
        }
        return {key: round(v, 6) for each in ends.values() for key, v in each.items() if not np.isnan(v)}

    rescoring = measured.rescoring()
    return {
        "count": len(measured.ids),
        **with_intervals(scores),
        "reconstruction": with_intervals(
            {name: measured.arrays[f"reconstruction_{name}"] for name in RECONSTRUCTION}
        ),
        "attributes": {
            column: with_intervals({name: values[:, k] for name, values in scores.items()})
            for k, column in enumerate(measured.columns)
        },
        "rescoring": {
            edited: {seen: round(float(rescoring[i, j]), 6) for j, seen in enumerate(measured.columns)}
            for i, edited in enumerate(measured.columns)
            if not np.isnan(rescoring[i]).any()
        },
    }
