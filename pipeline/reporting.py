"""The sections of the parameters for what follows the training: evaluate, compare, publish, tracking."""

from __future__ import annotations

__all__ = ["CompareParams", "EvaluateParams", "PublishParams", "TrackingParams"]

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.sections import SEED_MAX, SectionError, require

CODE_COUNT = 20  # latents: with fewer there is nothing to fit, choose and read a regression on


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateParams:
    """The protocol of the evaluation; ``docs/protocol.md`` says what each part measures.

    Attributes:
        split: whose latents are edited: ``test``, or ``val``, on which settings are chosen.
        count: latents of that split, from its beginning; ``"all"`` takes the whole split.
        delta: the move of the labeler, in its standard deviations, whose numbers are the editor's.
        deltas: all moves that edits are matched to, rising, ``delta`` among them: the curves.
        sides: ``other``, one edit of each attribute toward the other side of its range, or ``both``.
        tolerance: how exactly moves are matched, in the same unit.
        chunk: latents evaluated at once.
        bootstrap: resamples behind each 95 % interval.
        seed: seeds the resamples, and the orders of sequences.
        slider_faces: latents whose sliders are measured from end to end; 0 for none.
        overwrite_faces: latents whose attributes are set to fixed values; 0 for none.
        sequence_faces: latents that are edited five times in a row, in three orders; 0 for none.
        outside_faces: latents from outside of the training distribution; 0 for none.
        outside_psi: their truncation, above 1.
        pictures: pictures that are inverted and edited: an ``.npz`` file, or a folder of PNG or JPEG files,
            see :func:`pipeline.inversion.read_pictures`; empty for none.
        inversion_steps: steps of their inversion; those that choose the start take twice as many again.
        code: whether to measure how disentangled the code is; takes 20 latents or more.
        timings: whether to time edits.
        faces: rows of the picture grids.
        explorer_faces: faces of the explorer page.
        explorer_steps: positions of each slider, odd, so that one is the unedited face.
    """

    split: Literal["test", "val"] = "test"
    count: int | Literal["all"] = 256
    delta: float = 1.0
    deltas: tuple[float, ...] = (1.0,)
    sides: Literal["other", "both"] = "other"
    tolerance: float = 0.05
    chunk: int = 16
    bootstrap: int = 1_000
    seed: int = 0
    slider_faces: int = 0
    overwrite_faces: int = 0
    sequence_faces: int = 0
    outside_faces: int = 0
    outside_psi: float = 1.3
    pictures: str = ""
    inversion_steps: int = 100
    code: bool = False
    timings: bool = False
    faces: int = 8
    explorer_faces: int = 10
    explorer_steps: int = 11

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "count", "chunk", "faces", "explorer_faces", at_least=1)
        require(self, "slider_faces", "overwrite_faces", "sequence_faces", "outside_faces", at_least=0)
        require(self, "delta", above=0, at_most=4)
        require(self, "tolerance", above=0, at_most=0.5)
        require(self, "outside_psi", above=1, at_most=4)
        require(self, "inversion_steps", at_least=1)
        require(self, "bootstrap", at_least=10)
        require(self, "seed", at_least=0, at_most=SEED_MAX)
        require(self, "explorer_steps", at_least=3)
        if self.explorer_steps % 2 == 0:
            raise SectionError("explorer_steps", f"expected an odd number, got {self.explorer_steps}")
        if self.code and self.count != "all" and self.count < CODE_COUNT:
            raise SectionError("code", f"expected a count of at least {CODE_COUNT} for it, got {self.count}")
        self._check_moves()

    def _check_moves(self) -> None:
        """The moves rise, within the range of ``delta``, which is one of them."""
        if (
            list(self.deltas) != sorted({d for d in self.deltas if 0 < d <= 4})
            or self.delta not in self.deltas
        ):
            raise SectionError(
                "deltas",
                f"expected rising moves in (0, 4], {self.delta:g} among them, got {list(self.deltas)}",
            )

    @property
    def most(self) -> int | None:
        """Most latents of the split; ``None`` for all."""
        return None if self.count == "all" else self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareParams:
    """The comparison of all editors.

    Attributes:
        columns: columns of ``table.csv`` for the short table, in its order; empty means the usual ones.
        seeds: trainings of each editor, each with its own seed; a closed form takes the first alone. Empty
            for one, with ``train.seed``.
        faces: faces of the explorer page of all editors.
    """

    columns: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    faces: int = 4

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "faces", at_least=1)
        if len(set(self.seeds)) < len(self.seeds) or any(not 0 <= seed <= SEED_MAX for seed in self.seeds):
            raise SectionError("seeds", f"expected different seeds of at least 0, got {list(self.seeds)}")


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
        uri: the tracking server or database, without a password; the environment variable
            ``MLFLOW_TRACKING_URI`` overrides it.
        artifacts: folder of the artifacts when the store is a local database.
    """

    uri: str = "sqlite:///mlflow/mlflow.db"
    artifacts: str = "mlflow/artifacts"

    def __post_init__(self) -> None:
        """Refuse a password, which would be in the repository, on the cluster and in logs."""
        if not self.uri.startswith("sqlite:") and re.search("://.*:.*@", self.uri):
            raise SectionError("uri", "expected no password in it: give the whole URI in MLFLOW_TRACKING_URI")
