"""A bounded search for an editor's settings: as many trials for each, scored on the validation split alone.

A trial trains the editor on the training split and edits validation latents by one standard deviation of the
labeler, to both sides, on the bench of the evaluation. The first trial is the settings as they are, the
others are drawn at random from a few values of each setting. No test latent is ever seen.

References:
    | Bergstra, Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012
"""

from __future__ import annotations

__all__ = [
    "DELTA",
    "Marks",
    "Outcome",
    "Space",
    "Tried",
    "Workshop",
    "best_of",
    "changed",
    "changes_between",
    "draw",
    "load_space",
    "search",
]

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from pipeline.bench import Bench, Folders
from pipeline.config import EditorParams
from pipeline.editors import EditingData, Editor, FitContext, editor_class
from pipeline.editors.settings import StyleAEParams
from pipeline.errors import PipelineError
from pipeline.loop import Loop, LoopSettings
from pipeline.metrics.summary import Measured
from pipeline.protocol import Protocol
from pipeline.sections import SectionError, build_section

Value = bool | int | float | str
DELTA = 1.0
"""The move of a trial's edits, in σ of the labeler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """What a search may choose from: the content of ``conf/search/<kind>.yaml``.

    Attributes:
        settings: the candidates of each setting.
        natural_factors: factors to ``natural_weight``, of which each attribute gets its own as
            ``natural_scale``; empty for none.
    """

    settings: Mapping[str, tuple[Value, ...]]
    natural_factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a setting without candidates."""
        if empty := [name for name, values in self.settings.items() if not values]:
            raise SectionError(f"settings.{empty[0]}", "expected a list of values, got none")


@dataclass(frozen=True, slots=True)
class Marks:
    """The numbers of a trial that count, means over edits; NaN where no edit reached its move."""

    success: float
    dependency: float
    identity: float

    @property
    def score(self) -> float:
        """``(1 - success) + dependency + (1 - identity)``, less is better; infinite where no edit reached."""
        score = (1 - self.success) + self.dependency + (1 - self.identity)
        return math.inf if math.isnan(score) else score


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial found: marks of all edits, of those of each column, and the seconds that it took."""

    overall: Marks
    columns: Mapping[str, Marks]
    seconds: float

    def plain(self) -> dict[str, Any]:
        """The same in values that JSON can hold."""
        return asdict(self)

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> Outcome:
        """What :meth:`plain` gave."""
        columns = {name: Marks(**marks) for name, marks in values["columns"].items()}
        return cls(Marks(**values["overall"]), columns, values["seconds"])


@dataclass(frozen=True, slots=True)
class Tried:
    """A trial: what it changed of the settings as they were, all its settings, and what came of it."""

    changes: Mapping[str, Any]
    settings: EditorParams
    outcome: Outcome


Attempt = Callable[[EditorParams], Outcome]


def load_space(path: Path, settings: EditorParams) -> Space:
    """Read the candidates of a kind of editor, each held to the ranges of its setting.

    Raises:
        PipelineError: when the file is missing or is no YAML, or a candidate is not a value of its setting.
    """
    try:
        space = build_section(Space, yaml.safe_load(path.read_text()))
        for name, values in space.settings.items():
            for value in values:
                changed(settings, {name: value})
    except FileNotFoundError:
        raise PipelineError(
            f"expected the candidates of {settings.kind!r}, got no file, in {path}: write a list of values "
            "for each setting, under `settings:`"
        ) from None
    except (yaml.YAMLError, SectionError) as error:
        raise PipelineError(f"{' '.join(str(error).split())}, in {path}: correct the key there") from None
    return space


def changed(settings: EditorParams, changes: Mapping[str, Any]) -> EditorParams:
    """Settings with some of them changed.

    Raises:
        SectionError: for an unknown name, and for a value of the wrong type or out of range.
    """
    return build_section(type(settings), asdict(settings) | dict(changes))


def changes_between(before: EditorParams, after: EditorParams) -> dict[str, Any]:
    """The settings of ``after`` that differ from ``before``."""
    old = asdict(before)
    return {name: value for name, value in asdict(after).items() if value != old[name]}


def draw(
    candidates: Mapping[str, Sequence[Value]], present: EditorParams, count: int, seed: int
) -> list[dict[str, Any]]:
    """Different combinations at random, at most ``count``; all of them, if there are fewer.

    The combination that is present already is not among them.
    """
    total = math.prod(len(values) for values in candidates.values())
    places = random.Random(seed).sample(range(total), min(total, count + 1))
    drawn = [_combination(candidates, place) for place in places]
    return [c for c in drawn if any(getattr(present, name) != c[name] for name in c)][:count]


def _combination(candidates: Mapping[str, Sequence[Value]], place: int) -> dict[str, Any]:
    """The combination at a place of the row of all of them: the place's digits, one for each setting."""
    chosen = {}
    for name, values in candidates.items():
        place, digit = divmod(place, len(values))
        chosen[name] = values[digit]
    return chosen


def search(present: EditorParams, space: Space, attempt: Attempt, trials: int, seed: int) -> list[Tried]:
    """All trials, in their order.

    Arguments:
        present: the settings as they are, the first trial.
        space: the candidates.
        attempt: trains and measures an editor of given settings.
        trials: how many, at most. If they are enough to draw at random, too, the last ones are those of
            :func:`own_factors`.
        seed: seeds which combinations are drawn.
    """
    tried: list[Tried] = []

    def take(settings: EditorParams) -> Outcome:
        outcome = attempt(settings)
        tried.append(Tried(changes_between(present, settings), settings, outcome))
        return outcome

    factors = len(space.natural_factors)
    last = factors + 1 if factors and trials > factors + 2 else 0
    take(present)
    for combination in draw(space.settings, present, trials - 1 - last, seed):
        take(changed(present, combination))
    best = best_of(tried).settings
    if last and isinstance(best, StyleAEParams) and best.natural_weight:
        own_factors(best, space.natural_factors, take)
    return tried


def best_of(tried: Sequence[Tried]) -> Tried:
    """The trial with the least score; of equal ones the first."""
    return min(tried, key=lambda each: each.outcome.overall.score)


def own_factors(settings: StyleAEParams, factors: Sequence[float], attempt: Attempt) -> None:
    """For each attribute the factor to ``natural_weight`` with which its own edits score best.

    Attributes hardly interact, so each training tries one factor on all of them at once, and a last one has
    each attribute's best.
    """
    columns = {
        factor: attempt(
            replace(settings, natural_weight=settings.natural_weight * factor, natural_scale={})
        ).columns
        for factor in factors
    }
    names = columns[factors[0]]
    scale = {name: min(factors, key=lambda factor: columns[factor][name].score) for name in names}
    attempt(replace(settings, natural_scale=scale))


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What all trials of a search share: training in this process, and the bench.

    Attributes:
        train: the training split, on the device.
        val: the validation split, on the device.
        context: frozen things that editors need.
        folders: of the networks; that of the editor is not used.
        protocol: what is asked of edits, one move.
        faces: how many of the validation latents are edited.
        chunk: how many of them at once.
        seed: of every training.
    """

    train: EditingData
    val: EditingData
    context: FitContext
    folders: Folders
    protocol: Protocol
    faces: int
    chunk: int
    seed: int

    def attempt(self, settings: EditorParams) -> Outcome:
        """Train and measure an editor."""
        started = time.monotonic()
        found = self.measure(self.fit(settings))
        (delta,) = self.protocol.deltas
        scores = found.scores(delta)

        def marks(column: int | slice) -> Marks:
            return Marks(*(_mean(scores[name][:, :, column]) for name in Marks.__dataclass_fields__))

        columns = {name: marks(k) for k, name in enumerate(found.columns)}
        return Outcome(marks(slice(None)), columns, round(time.monotonic() - started, 1))

    def fit(self, settings: EditorParams) -> Editor:
        """A trained editor: the weights of the epoch with the least validation loss."""
        torch.manual_seed(self.seed)
        editor = editor_class(settings.kind).build(settings, self.train, self.context, self.seed)
        objective = editor.objective(settings, self.context)
        if objective is None:
            return editor
        objective.to(self.train.w.device)
        loop = Loop(objective, objective, cast(LoopSettings, settings), self.train, self.val, self.seed)
        while not loop.finished:
            loop.run_epoch()
        loop.load_best()
        return objective.editor.requires_grad_(False)

    def measure(self, editor: Editor) -> Measured:
        """Matched edits of the first validation latents."""
        bench = Bench(self.folders, str(self.val.w.device), editor)
        w = self.val.w[: self.faces]
        parts = [bench.measure(part, self.protocol) for part in w.split(self.chunk)]
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        sigma = np.maximum(arrays["before"].std(axis=0), 1e-6)
        ids = np.arange(len(w))
        return Measured(ids, tuple(bench.columns), frozenset(), arrays, self.protocol.deltas, sigma)


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what was measured, NaN where nothing was."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan
