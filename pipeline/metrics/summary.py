"""From one row per edit to the numbers of a report."""

from __future__ import annotations

__all__ = ["HEADLINE", "PERCEPTUAL", "Measured", "edits_table", "numbers", "summarise"]

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.attributes import same_attribute
from pipeline.metrics.bootstrap import mean_interval
from pipeline.metrics.editing import (
    attribute_dependency,
    flipped,
    largest_dependency,
    moves_in_sigma,
    rescoring_matrix,
    success,
)

Floats = NDArray[np.float64]

CHANGES = ("identity", "rmse", "psnr", "ssim", "style_distance")

HEADLINE = ("success", "dependency", "dependency_max", *CHANGES, "unreached", "flipped")
"""The numbers of an editor, overall and for each attribute, each with the ends of its 95 % interval."""

PERCEPTUAL = ("lpips",)
"""Those that are there, too, when a perceptual network is given."""

RECONSTRUCTION = ("rmse", "psnr", "ssim")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a bench found for all latents, and its scales.

    Attributes:
        ids: ``[N]``.
        columns: names of the K columns.
        decided: the columns whose judge output is a decision: a logit, or a class's score.
        arrays: the arrays of ``Bench.measure``, all chunks together.
        deltas: the D asked moves in σ of the labeler.
        judge_sigma: standard deviation of each column of the judge on the original images, ``[K]``.
    """

    ids: NDArray[np.int64]
    columns: tuple[str, ...]
    decided: frozenset[str]
    arrays: Mapping[str, NDArray]
    deltas: tuple[float, ...]
    judge_sigma: Floats

    def at(self, name: str, delta: float) -> NDArray:
        """An array of edits for one move, ``[N, S, K, …]``."""
        return self.arrays[name][:, self.deltas.index(delta)]

    def moves(self, delta: float) -> Floats:
        """Moves of the judge in σ, ``[N, S, K, K]``; NaN for edits that were not tried."""
        before = self.arrays["before"][:, None, None]
        return moves_in_sigma(before, self.at("after", delta), self.judge_sigma)

    def scores(self, delta: float) -> dict[str, Floats]:
        """Each number of ``HEADLINE``, and of ``PERCEPTUAL`` if measured, for each edit, ``[N, S, K]``.

        NaN where it has no meaning.

        An edit that did not reach its move is a failure, and what it did to the image is not counted: its
        strength has no meaning. An edit that was not posed has no numbers. ``flipped`` is for binary and
        categorical attributes alone.
        """
        posed, reached, direction = (self.at(name, delta) for name in ("posed", "reached", "direction"))
        shape, columns = reached.shape, len(self.columns)
        target, same = np.tile(np.arange(columns), reached.size // columns), same_attribute(self.columns)
        moves = self.moves(delta).reshape(-1, columns)
        after = self.at("after", delta)
        before = np.broadcast_to(self.arrays["before"][:, None, None], after.shape).reshape(-1, columns)
        succeeded = success(moves, target, direction.reshape(-1), delta).reshape(shape) & reached
        crossed = flipped(before, after.reshape(-1, columns), target, same).reshape(shape) & reached
        changed = {
            "dependency": attribute_dependency(moves, target, same).reshape(shape),
            "dependency_max": largest_dependency(moves, target, same).reshape(shape),
            **{name: self.at(name, delta) for name in (*CHANGES, *PERCEPTUAL) if name in self.arrays},
        }
        decided = np.array([name in self.decided for name in self.columns])
        return {
            "success": np.where(posed, succeeded, np.nan),
            **{name: np.where(reached, values, np.nan) for name, values in changed.items()},
            "unreached": np.where(posed, ~reached, np.nan),
            "flipped": np.where(posed & decided, crossed, np.nan),
        }

    def rescoring(self, delta: float) -> Floats:
        """The rescoring matrix ``[K, K]`` over the edits that reached their move."""
        reached, direction = self.at("reached", delta), self.at("direction", delta)
        target = np.broadcast_to(np.arange(len(self.columns)), reached.shape)
        return rescoring_matrix(self.moves(delta)[reached], target[reached], direction[reached])


def edits_table(measured: Measured) -> pa.Table:
    """One row for each edit that was posed, with a column ``move_NAME`` for each column of the judge."""
    parts = []
    for delta in measured.deltas:
        posed = measured.at("posed", delta)
        face, _, column = np.nonzero(posed)
        scores, moves = measured.scores(delta), measured.moves(delta)[posed]
        facts = ("direction", "strength", "labeler_move", "reached")
        parts.append(
            pa.table(
                {
                    "id": measured.ids[face],
                    "attribute": np.array(measured.columns)[column],
                    "delta": np.full(len(face), delta),
                    **{name: measured.at(name, delta)[posed] for name in facts},
                    **{name: values[posed] for name, values in scores.items() if name != "unreached"},
                    **{f"move_{name}": moves[:, k] for k, name in enumerate(measured.columns)},
                }
            )
        )
    return pa.concat_tables(parts)


def numbers(values: Mapping[str, Floats], *, resamples: int, seed: int) -> dict[str, float]:
    """Means over everything, each with ``_low`` and ``_high``, resampling the first axis; no NaN."""
    found = {name: mean_interval(v, resamples=resamples, seed=seed) for name, v in values.items()}
    ends = {name: {name: i.mean, f"{name}_low": i.low, f"{name}_high": i.high} for name, i in found.items()}
    return {key: round(v, 6) for each in ends.values() for key, v in each.items() if not np.isnan(v)}


def summarise(measured: Measured, delta: float, *, resamples: int, seed: int) -> dict[str, Any]:
    """The content of ``metrics.json``: ``HEADLINE`` with ``_low`` and ``_high``, overall and by attribute.

    ``curves`` has the overall numbers at every asked move. Whatever could not be measured is absent, so that
    every leaf is a number.
    """
    scores, rescoring = measured.scores(delta), measured.rescoring(delta)

    def with_intervals(values: Mapping[str, Floats]) -> dict[str, float]:
        return numbers(values, resamples=resamples, seed=seed)

    return {
        "count": len(measured.ids),
        "edits": int(measured.at("posed", delta).sum()),
        **with_intervals(scores),
        "reconstruction": with_intervals(
            {name: measured.arrays[f"reconstruction_{name}"] for name in RECONSTRUCTION}
        ),
        "attributes": {
            column: with_intervals({name: values[:, :, k] for name, values in scores.items()})
            for k, column in enumerate(measured.columns)
        },
        "curves": {f"{asked:g}": with_intervals(measured.scores(asked)) for asked in measured.deltas},
        "rescoring": {
            edited: {seen: round(float(rescoring[i, j]), 6) for j, seen in enumerate(measured.columns)}
            for i, edited in enumerate(measured.columns)
            if not np.isnan(rescoring[i]).any()
        },
    }
