"""Mean difference: from the mean style vector without an attribute to the mean one with it.

References:
    Larsen, Sønderby, Larochelle, Winther: Autoencoding beyond pixels using a learned similarity metric,
    arXiv 1512.09300 (visual attribute vectors).

Deviations:
    The two means are over the rows with the highest and the lowest labels, a set share of all, instead of
    those with and without a binary label; strengths are in training standard deviations of the attribute, as
    a ridge regression reads them, instead of lengths of the difference.
"""

from __future__ import annotations

__all__ = ["MeanDifference"]

import numpy as np

from pipeline.editors.base import EditingData, FitContext
from pipeline.editors.linear import Array, LinearEditor, TrainingSplit, extremes
from pipeline.editors.peer_settings import MeanDifferenceParams


class MeanDifference(LinearEditor):
    """Steps along the difference of two means; whatever goes with an attribute in the samples moves with it.

    See :class:`pipeline.editors.linear.LinearEditor` for the arguments.
    """

    kind = "mean_difference"

    @classmethod
    def build(
        cls, settings: MeanDifferenceParams, data: EditingData, context: FitContext, seed: int
    ) -> MeanDifference:
        """Take every difference; nothing is left to train."""
        split = TrainingSplit.of(data, settings.alpha)
        directions = [_difference(split.x, scores, settings.share) for scores in split.attrs.T]
        return cls.along(np.stack(directions), split)


def _difference(x: Array, scores: Array, share: float) -> Array:
    """The mean of the rows with the highest scores less that of those with the lowest, ``[w_dim]``."""
    low, high = extremes(scores, share)
    return x[high].mean(axis=0) - x[low].mean(axis=0)
