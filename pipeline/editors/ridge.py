"""Ridge: a regression's own direction for each attribute, the least that an editor can be.

References:
    Hoerl, Kennard: Ridge regression: biased estimation for nonorthogonal problems, Technometrics, 1970.

Deviations:
    None of a paper's: it is a floor for comparisons, without any remedy for entanglement.
"""

from __future__ import annotations

__all__ = ["RidgeDirections"]

from pipeline.editors.base import EditingData, FitContext
from pipeline.editors.linear import LinearEditor, TrainingSplit
from pipeline.editors.peer_settings import RidgeParams


class RidgeDirections(LinearEditor):
    """Steps along the readers themselves: of all moves that are read as one σ more, the shortest.

    See :class:`pipeline.editors.linear.LinearEditor` for the arguments.
    """

    kind = "ridge"

    @classmethod
    def build(
        cls, settings: RidgeParams, data: EditingData, context: FitContext, seed: int
    ) -> RidgeDirections:
        """Fit every direction in closed form; nothing is left to train."""
        split = TrainingSplit.of(data, settings.alpha)
        return cls.along(split.readers, split)
