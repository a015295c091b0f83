"""Partial effect: how styles differ that differ in one attribute alone, by regression.

References:
    Frisch, Waugh: Partial time regressions as compared with individual trends, Econometrica, 1933.

Deviations:
    None of a paper's: no one seems to edit so. It is the mean difference with one remedy, and the strongest
    of the closed forms here; a method that is trained has to beat it.
"""

from __future__ import annotations

__all__ = ["PartialEffect"]

import numpy as np

from pipeline.editors.base import EditingData, FitContext
from pipeline.editors.linear import LinearEditor, TrainingSplit
from pipeline.editors.peer_settings import PartialEffectParams


class PartialEffect(LinearEditor):
    """Steps along the coefficients of the regression attributes → w: the other attributes are held fixed.

    The regression w → attributes of :class:`pipeline.editors.ridge.RidgeDirections` finds what is easiest to
    read; this one finds what comes along with an attribute, and with no other.

    See :class:`pipeline.editors.linear.LinearEditor` for the arguments.
    """

    kind = "partial_effect"

    @classmethod
    def build(
        cls, settings: PartialEffectParams, data: EditingData, context: FitContext, seed: int
    ) -> PartialEffect:
        """Fit every direction in closed form; nothing is left to train."""
        split = TrainingSplit.of(data, settings.alpha)
        normal_attrs = (split.attrs - split.attrs.mean(axis=0)) / split.attrs.std(axis=0)
        return cls.along(np.linalg.lstsq(normal_attrs, split.x, rcond=None)[0], split)
