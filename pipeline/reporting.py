"""The sections of the parameters for what follows the training: evaluate, compare, publish, tracking."""

from __future__ import annotations

__all__ = ["CompareParams", "EvaluateParams", "PublishParams", "TrackingParams"]

from dataclasses import dataclass
from typing import Literal

from pipeline.sections import SEED_MAX, SectionError, require


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateParams:
    """The protocol of the evaluation.

    Attributes:
        count: latents of the test split, from its beginning; ``"all"`` takes the whole split.
        delta: the move of the labeler that every edit is matched to, in its standard deviations.
        tolerance: how exactly, in the same unit.
        chunk: latents evaluated at once.
        bootstrap: resamples behind each 95 % interval.
        seed: seeds the resamples.
        faces: rows of the picture grids.
        explorer_faces: faces of the explorer page.
        explorer_steps: positions of each of its sliders, odd, so that one is the unedited face.
    """

    count: int | Literal["all"] = 256
    delta: float = 1.0
    tolerance: float = 0.05
    chunk: int = 16
    bootstrap: int = 1_000
    seed: int = 0
    faces: int = 8
    explorer_faces: int = 10
    explorer_steps: int = 11

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "count", "chunk", "faces", "explorer_faces", at_least=1)
        require(self, "delta", above=0, at_most=4)
        require(self, "tolerance", above=0, at_most=0.5)
        require(self, "bootstrap", at_least=10)
        require(self, "seed", at_least=0, at_most=SEED_MAX)
        require(self, "explorer_steps", at_least=3)
        if self.explorer_steps % 2 == 0:
            raise SectionError("explorer_steps", f"expected an odd number, got {self.explorer_steps}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareParams:
    """The table of all editors.

    Attributes:
        columns: names in each editor's ``metrics.json``, in the table's order; empty means the usual ones.
    """

    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishParams:
    """What goes to MLflow.

    Attributes:
        experiment: name of the MLflow experiment.
        headline: the metric whose improvement moves the alias ``champion``.
        higher_is_better: which way is better.
    """

    experiment: str
    headline: str = "success"
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingParams:
    """Where MLflow's store is.

    Attributes:
        uri: the tracking server or database; the environment variable ``MLFLOW_TRACKING_URI`` overrides it.
        artifacts: folder of the artifacts when the store is a local database.
    """

    uri: str = "sqlite:///mlflow/mlflow.db"
    artifacts: str = "mlflow/artifacts"
