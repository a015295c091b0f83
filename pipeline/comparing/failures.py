"""Edits that went wrong, sorted by what went wrong with them."""

from __future__ import annotations

__all__ = ["KINDS", "Failure", "count_failures", "worst_failures"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparing.edits import Edits

Bools = NDArray[np.bool_]

MOVED = 1.0  # σ of another attribute
LOST = 0.8  # identity similarity
FAR = 2.0  # distance from the training styles, of which 1 is usual

Scores = Mapping[str, NDArray[np.float64]]

KINDS: Mapping[str, tuple[Callable[[Scores], Bools], Callable[[Scores], NDArray[np.float64]]]] = {
    "target not reached": (lambda s: s["unreached"] == 1, lambda s: np.zeros_like(s["unreached"])),
    "the judge does not see it": (
        lambda s: (s["unreached"] == 0) & (s["success"] == 0),
        lambda s: np.zeros_like(s["success"]),
    ),
    "another attribute moved": (lambda s: s["dependency_max"] > MOVED, lambda s: s["dependency_max"]),
    "identity lost": (lambda s: s["identity"] < LOST, lambda s: -s["identity"]),
    "off the manifold": (lambda s: s["style_distance"] > FAR, lambda s: s["style_distance"]),
}
"""What can go wrong: whether it has, and how bad it is. An edit can be in several."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One edit that went wrong: its latent, attribute, direction (+1 or -1), and signed strength."""

    id: int
    column: int
    direction: int
    strength: float


def count_failures(edits: Edits, delta: float, rare: Bools) -> list[dict[str, Any]]:
    """How often each kind of failure is there, for each attribute and direction: rows of a table.

    Arguments:
        edits: of one training.
        delta: the move.
        rare: which edits ask for a rare combination, ``[N, 2, K]``: they are counted by themselves, too.
    """
    scores = {name: edits.at(name, delta) for name in edits.scores}
    posed = ~np.isnan(scores["unreached"])
    rows = []
    for kind, (is_so, _) in KINDS.items():
        with np.errstate(invalid="ignore"):
            wrong = is_so(scores)
        rows += [
            {
                "failure": kind,
                "attribute": name,
                "direction": "+-"[side],
                "count": int(wrong[:, side, k].sum()),
                "edits": int(posed[:, side, k].sum()),
                "rare": int((wrong & rare)[:, side, k].sum()),
                "rare_edits": int((posed & rare)[:, side, k].sum()),
            }
            for k, name in enumerate(edits.columns)
            for side in (0, 1)
            if posed[:, side, k].any()
        ]
    return rows


def worst_failures(edits: Edits, delta: float, most: int) -> dict[str, list[Failure]]:
    """Of each kind the worst ones, at most one of an attribute and direction as long as there are others."""
    scores = {name: edits.at(name, delta) for name in edits.scores}
    strength = edits.strength[:, edits.deltas.index(delta)]
    found = {}
    for kind, (is_so, how_bad) in KINDS.items():
        with np.errstate(invalid="ignore"):
            places = np.argwhere(is_so(scores))
        bad = how_bad(scores)[tuple(places.T)]
        places = places[np.argsort(-bad, kind="stable")]
        seen: dict[tuple[int, int], int] = {}
        turns = []  # the n-th of its attribute and direction
        for _, side, k in places.tolist():
            turns.append(seen.setdefault((side, k), 0))
            seen[side, k] += 1
        chosen = places[np.argsort(np.array(turns, int), kind="stable")][:most]
        found[kind] = [
            Failure(int(edits.ids[n]), k, 1 - 2 * side, float(strength[n, side, k]))
            for n, side, k in chosen.tolist()
        ]
    return found
