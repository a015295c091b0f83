"""Matched strength: for each sample, the strength of an edit at which a score has moved by a given amount.

Editors differ in the unit of their strength, so they are compared where a classifier, the *labeler*, says
that the target has moved equally far. A bracket is grown from 0 outward, then closed by the Illinois variant
of regula falsi.

References:
    | Dowell, Jarratt, "A modified regula falsi method for computing the root of an equation", BIT 11, 1971
"""

from __future__ import annotations

__all__ = ["Matched", "directions", "match_strength"]

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Move = Callable[[Tensor, Tensor], Tensor]

GROWTH = (1.1, 4.0)
"""Out of reach, the strength is multiplied by what a straight line through 0 suggests, within these."""

MARGIN = 0.05
"""A step stays this share of the bracket away from its ends: no flat or steep score can stall it."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Where each of N searches ended.

    Attributes:
        strength: ``[N]``, not negative: the last strength that was tried.
        move: ``[N]``, the move that was found there.
        reached: ``[N]``, whether that move is within the tolerance of the asked one.
    """

    strength: Tensor
    move: Tensor
    reached: Tensor


def directions(scores: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """+1 or -1 for each score ``[N, K]``: away from its side of the middle between ``low`` and ``high [K]``.

    With the ends of a column's range as ``low`` and ``high``, there is always room for a move of one standard
    deviation: the far end is at least half the range away, and no distribution on a range has a deviation
    above that (Popoviciu). A mean or a median does not promise it: the stubble just above the median beard
    has nowhere to go down to.
    """
    return torch.where(scores < (low + high) / 2, 1.0, -1.0).to(scores)


def match_strength(
    move: Move, count: int, *, delta: float, tolerance: float, limit: float = 20.0, evaluations: int = 12
) -> Matched:
    """Find, for ``count`` samples at once, the strength at which each has moved by ``delta``.

    Arguments:
        move: maps samples ``rows [M]`` (indices below ``count``) and strengths ``[M]`` to moves ``[M]``
            toward the asked side. It is called with the samples that are still on their way, because a call
            costs an image each; the last call with a sample is the one at its returned strength. A move at
            strength 0 is taken to be 0.
        count: number of samples.
        delta: the asked move.
        tolerance: how far from it a move may end.
        limit: the largest strength to try; what needs more is not reached.
        evaluations: the most images to spend on one sample.
    """
    bracket = _Bracket(count, delta)
    strength = torch.full((count,), min(delta, limit), dtype=torch.float64)
    moved = torch.zeros(count, dtype=torch.float64)
    active = torch.arange(count)
    for step in range(evaluations):
        if step > 0:
            strength[active] = bracket.proposal(active).clamp(max=limit)
        moved[active] = move(active, strength[active]).to(moved)
        bracket.narrow(active, strength[active], moved[active])
        missed = (moved - delta).abs() > tolerance
        stuck = (strength >= limit) & (moved < delta)
        active = active[(missed & ~stuck)[active]]
        if len(active) == 0:
            break
    return Matched(strength, moved, (moved - delta).abs() <= tolerance)


class _Bracket:
    """For each sample, a strength whose move is too small and, once found, one whose move is too large."""

    def __init__(self, count: int, delta: float) -> None:
        self.delta = delta
        zero = torch.zeros(count, dtype=torch.float64)
        self.low, self.low_residual = zero.clone(), zero - delta
        self.high, self.high_residual = zero + torch.inf, zero.clone()
        self.last = zero.clone()  # the end that was replaced last: -1 low, +1 high, 0 neither

    def narrow(self, rows: Tensor, strength: Tensor, moved: Tensor) -> None:
        """Replace one end of each bracket by a tried strength."""
        residual = moved - self.delta
        below, above = rows[residual < 0], rows[residual >= 0]
        self.low[below], self.low_residual[below] = strength[residual < 0], residual[residual < 0]
        self.high[above], self.high_residual[above] = strength[residual >= 0], residual[residual >= 0]
        # Illinois: an end that stays twice in a row gives half its residual, or it would stay for ever.
        self.high_residual[below[self.last[below] < 0]] /= 2
        self.low_residual[above[self.last[above] > 0]] /= 2
        self.last[below], self.last[above] = -1.0, 1.0

    def proposal(self, rows: Tensor) -> Tensor:
        """The strengths to try next: beyond the low end while nothing is too large, then in between."""
        low, high = self.low[rows], self.high[rows]
        moved = self.low_residual[rows] + self.delta
        outward = low * torch.where(moved > 0, self.delta / moved, torch.inf).clamp(*GROWTH)
        below, above = self.low_residual[rows], self.high_residual[rows]
        share = (below / (below - above)).clamp(MARGIN, 1 - MARGIN)
        return torch.where(high.isinf(), outward, low + share * (high - low).nan_to_num(posinf=0.0))
