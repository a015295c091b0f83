"""The edits of one evaluation as arrays, so that those of several editors lie on top of each other."""

from __future__ import annotations

__all__ = ["SCORES", "Edits", "read_edits"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.errors import PipelineError

Floats = NDArray[np.float64]

SCORES = (
    "success",
    "dependency",
    "dependency_max",
    "identity",
    "rmse",
    "psnr",
    "ssim",
    "lpips",
    "style_distance",
    "unreached",
    "flipped",
)
"""What may be known of each edit; the same names as in ``metrics.json``."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Single edits of N latents: D moves, up (0) and down (1), of K attributes.

    Attributes:
        ids: ``[N]``.
        columns: names of the K attributes.
        deltas: the D moves in σ.
        scores: those of ``SCORES`` that are in the file, ``[N, D, 2, K]``; NaN where nothing was posed or
            measured.
        strength: ``[N, D, 2, K]``, signed, in the editor's unit.
    """

    ids: NDArray[np.int64]
    columns: tuple[str, ...]
    deltas: tuple[float, ...]
    scores: Mapping[str, Floats]
    strength: Floats

    def at(self, name: str, delta: float) -> Floats:
        """A score at one move, ``[N, 2, K]``."""
        return self.scores[name][:, self.deltas.index(delta)]


def read_edits(path: Path, columns: Sequence[str]) -> Edits:
    """Read an evaluation's ``edits.parquet``.

    Raises:
        PipelineError: when the file is missing, or its attributes are not ``columns``.
    """
    if not path.is_file():
        raise PipelineError(f"expected the edits of an evaluation, got no file {path}: run `dvc repro`")
    table = pq.read_table(path).to_pandas()
    if unknown := set(table["attribute"]) - set(columns):
        raise PipelineError(f"expected edits of {list(columns)}, got {sorted(unknown)} too, in {path}")
    ids, face = np.unique(table["id"].to_numpy(), return_inverse=True)
    deltas, move = np.unique(table["delta"].to_numpy(), return_inverse=True)
    side = (table["direction"].to_numpy() < 0).astype(int)
    column = table["attribute"].map({name: k for k, name in enumerate(columns)}).to_numpy()
    table["unreached"] = 1.0 - table["reached"]

    def spread(name: str) -> Floats:
        values = np.full((len(ids), len(deltas), 2, len(columns)), np.nan)
        values[face, move, side, column] = table[name].to_numpy(float)
        return values

    scores = {name: spread(name) for name in SCORES if name in table}
    return Edits(ids, tuple(columns), tuple(deltas.tolist()), scores, spread("strength"))
