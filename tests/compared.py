"""Edits made by hand, for what compares editors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.comparing.edits import SCORES, Edits

NAMES = ("age", "beard")
FINE = {
    "success": 1,
    "unreached": 0,
    "identity": 0.95,
    "style_distance": 1,
    "dependency_max": 0.1,
    "rmse": 0.1,
}
ROWS = [
    (7, "beard", 1.0, 1.0, 3.0, True, 0.25),
    (7, "beard", 1.0, -1.0, -4.0, False, np.nan),
    (3, "age", 0.5, 1.0, 1.5, True, 0.125),
    (3, "age", 1.0, -1.0, -2.0, True, 0.5),
]


def write_edits(path, rows):
    """An ``edits.parquet`` of rows (id, attribute, delta, direction, strength, reached, dependency)."""
    keys = ("id", "attribute", "delta", "direction", "strength", "reached", "dependency")
    table = {key: list(values) for key, values in zip(keys, zip(*rows, strict=True), strict=True)}
    rest = {name: [0.5] * len(rows) for name in SCORES if name not in ("dependency", "unreached")}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | rest), path)


def edits_of(count=4, **scores):
    """Edits of one move, every one of them posed; scores are numbers or arrays ``[N, 2, K]``."""
    values = {name: 0.0 for name in SCORES} | FINE | scores
    arrays = {
        name: np.broadcast_to(value, (count, 2, 2))[:, None].astype(float) for name, value in values.items()
    }
    strength = np.arange(count * 4.0).reshape(count, 1, 2, 2)
    return Edits(np.arange(10, 10 + count), NAMES, (1.0,), arrays, strength)


def at(*places):
    """``[4, 2, 2]``: 1 at some places."""
    found = np.zeros((4, 2, 2))
    for place in places:
        found[place] = 1
    return found
