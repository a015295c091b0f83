"""Matched strength: for each sample, the strength of an edit at which a score has moved by a given amount.

Editors differ in the unit of their strength, so they are compared where a classifier, the *labeler*, says
that the target has moved equally far. A bracket is grown outward along the line through the last two
points, then closed by false position.
"""

from __future__ import annotations

__all__ = ["StrengthSearch", "directions"]

import torch
from torch import Tensor

LIMIT = 20.0
"""The largest strength to try; what needs more is not reached."""

EVALUATIONS = 12
"""The most images to spend on one sample."""

GROWTH = (1.02, 4.0)
"""Out of reach, the strength grows to where the line through the last two points says, by these factors."""

MARGIN = 0.05
"""A step stays this share of the bracket away from its ends: no flat or steep score can stall it."""


def directions(scores: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """+1 or -1 for each score ``[N, K]``: away from its side of the middle between ``low`` and ``high [K]``.

    With the ends of a column's range as ``low`` and ``high``, there is always room for a move of one standard
    deviation: the far end is at least half the range away, and no distribution on a range has a deviation
    above that (Popoviciu). A mean or a median does not promise it: the stubble just above the median beard
    has nowhere to go down to.
    """
    return torch.where(scores < (low + high) / 2, 1.0, -1.0).to(scores)


class StrengthSearch:
    """The search for N samples, each by itself: whoever holds the images asks, evaluates and tells.

    Samples advance independently, so those at hand can always fill a batch, whichever step each of them is
    at, and how they are batched does not change what is found. A move at strength 0 is taken to be 0.

    Arguments:
        count: number of samples N.
        delta: the asked move.
        tolerance: how far from it a move may end.

    Attributes:
        strength: ``[N]``, not negative: the one to try next; once a sample has ended, the last one tried.
        move: ``[N]``, the move that was found last.
        evaluations: ``[N]``, how often each sample was told a move.

    Example:
        >>> search = StrengthSearch(3, delta=1.0, tolerance=0.05)
        >>> while len(rows := search.waiting):
        ...     ended = search.tell(rows, search.strength[rows] * torch.tensor([0.5, 1.0, 2.0])[rows])
        >>> search.strength
        tensor([2.0000, 1.0000, 0.5000], dtype=torch.float64)
        >>> search.further(1.5).strength
        tensor([3.0000, 1.5000, 0.7500], dtype=torch.float64)
    """

    def __init__(self, count: int, *, delta: float, tolerance: float) -> None:
        self.delta, self.tolerance = delta, tolerance
        zero = torch.zeros(count, dtype=torch.float64)
        self.strength, self.move = zero + min(delta, LIMIT), zero.clone()
        self.evaluations = torch.zeros(count, dtype=torch.int64)
        self.ended = torch.zeros(count, dtype=torch.bool)
        # The bracket: a strength whose move is too small and, once found, one whose move is too large.
        self.low, self.low_move = zero.clone(), zero.clone()
        self.slope = zero.clone()  # of the move, from the low end before to this one
        self.high, self.high_move = zero + torch.inf, zero.clone()

    def further(self, delta: float) -> StrengthSearch:
        """The search for a larger move of the same samples, from where this one has ended.

        A sample that needed more than the limit stays there, without another evaluation.
        """
        search = StrengthSearch(len(self.move), delta=delta, tolerance=self.tolerance)
        enough = self.high_move >= delta
        passed = self.high.isfinite() & ~enough  # what was too much before is too little now
        search.low, search.low_move = (
            self.low.where(~passed, self.high),
            self.low_move.where(~passed, self.high_move),
        )
        within = (self.high_move - self.low_move) / (self.high - self.low)
        search.slope = self.slope.where(~passed, within)
        search.high, search.high_move = self.high.where(enough, torch.inf), self.high_move.where(enough, 0.0)
        search.move, search.ended = self.move.clone(), (self.strength >= LIMIT) & (self.move < self.delta)
        known = (search.low > 0) | enough
        search.strength[known] = search._proposal(known.nonzero()[:, 0])
        search.strength[search.ended] = self.strength[search.ended]
        return search

    @property
    def waiting(self) -> Tensor:
        """Indices of the samples that have not ended, in order."""
        return (~self.ended).nonzero()[:, 0]

    @property
    def reached(self) -> Tensor:
        """``[N]``: whether the last move is within the tolerance of the asked one."""
        return (self.move - self.delta).abs() <= self.tolerance

    def tell(self, rows: Tensor, moved: Tensor) -> Tensor:
        """Take the moves ``[M]`` of some samples at their strengths; says which of them have ended, ``[M]``.

        A sample ends when its move is reached, when its strength is at the limit without, or when it had all
        its evaluations.
        """
        moved, strength = moved.to(self.move), self.strength[rows]
        self.move[rows] = moved
        self.evaluations[rows] += 1
        missed = (moved - self.delta).abs() > self.tolerance  # not so for NaN, where nothing is to be found
        beyond = (strength >= LIMIT) & (moved < self.delta)
        ended = ~missed | beyond | (self.evaluations[rows] >= EVALUATIONS)
        self.ended[rows] = ended
        self._narrow(rows, strength, moved)
        self.strength[rows[~ended]] = self._proposal(rows[~ended])
        return ended

    def _narrow(self, rows: Tensor, strength: Tensor, moved: Tensor) -> None:
        """Replace one end of each bracket by a tried strength."""
        small = moved < self.delta
        below, above = rows[small], rows[~small]
        self.slope[below] = (moved[small] - self.low_move[below]) / (strength[small] - self.low[below])
        self.low[below], self.low_move[below] = strength[small], moved[small]
        self.high[above], self.high_move[above] = strength[~small], moved[~small]

    def _proposal(self, rows: Tensor) -> Tensor:
        """The strengths to try next: beyond the low end while nothing is too large, then in between."""
        low, high = self.low[rows], self.high[rows]
        below, above = self.low_move[rows], self.high_move[rows]
        steps = torch.where(self.slope[rows] > 0, (self.delta - below) / self.slope[rows], torch.inf)
        outward = (low + steps).clamp(*(low * factor for factor in GROWTH))
        share = ((self.delta - below) / (above - below)).clamp(MARGIN, 1 - MARGIN)
        inward = low + share * (high - low).nan_to_num(posinf=0.0)
        return torch.where(high.isinf(), outward, inward).clamp(max=LIMIT)
