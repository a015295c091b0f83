"""``python -m pipeline search``: better settings of an editor, found on the validation split."""

from __future__ import annotations

__all__ = ["Budget", "search_settings", "workshop"]

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from pipeline import console
from pipeline.bench import Folders
from pipeline.config import EditorParams, Params, load_params
from pipeline.data import check_provenance, read_manifest
from pipeline.editors import FitContext
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.pullback import METRIC, load_metric
from pipeline.paths import LABELS, PULLBACK, WORK
from pipeline.protocol import Protocol, scales_of
from pipeline.scratch import code_digest, fingerprint
from pipeline.searching import DELTA, Attempt, Outcome, Tried, Workshop, best_of, load_space, search
from pipeline.splits import read_split
from pipeline.weights import sha256, weights_digest, write_atomic

CODE = ("attributes", "bench", "editors", "generators", "labelers", "loop", "metrics", "plan", "searching")
SPACES = Path("conf/search")
MARKS = ("score", "success", "dependency", "identity", "seconds")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a search may spend, and what it draws.

    Attributes:
        trials: how many trainings, that of the present settings included.
        rows: training latents of each, the first of the split; ``None`` for all of them.
        faces: validation latents that are edited in each.
        seed: which combinations are drawn.
    """

    trials: int
    rows: int | None = None
    faces: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a budget of nothing."""
        for option, value in (("--trials", self.trials), ("--rows", self.rows), ("--faces", self.faces)):
            if value is not None and value < 1:
                raise PipelineError(f"expected at least 1, got {option} {value}: raise it")


def search_settings(name: str, budget: Budget, out: Path | None, folder: Path) -> None:
    """Search, show all trials, and write the best settings as the editor ``NAME_tuned``.

    A trial that is finished is kept under ``.work/search``: a search that was stopped goes on from there.

    Arguments:
        name: the editor.
        budget: the same for every editor that is to be compared.
        out: the file of ``conf/editor/``; ``None`` for ``conf/editor/NAME_tuned.yaml``.
        folder: the folder whose parameters and labels are used, such as ``comparisons/peers``.

    Raises:
        PipelineError: when labels, networks, parameters and candidates are missing or do not belong together.
    """
    spaces = SPACES.absolute()
    out = (out or Path(f"conf/editor/{name}_tuned.yaml")).absolute()
    os.chdir(folder)
    params = load_params()
    settings = params.editor_settings(name)
    space = load_space(spaces / f"{settings.kind}.yaml", settings)
    shop = workshop(params, budget)
    with console.progress(budget.trials, "trials") as bar:
        tried = search(settings, space, _kept(name, shop, bar), budget.trials, budget.seed)
    _show(tried)
    before, best = tried[0].outcome.overall.score, best_of(tried)
    scores = f"score {before:.3f} before, {best.outcome.overall.score:.3f} after"
    heading = (
        f"# {name} as `python -m pipeline search` found it on the validation split: {len(tried)} trials,\n"
        f"# each of {len(shop.train.w)} training and {len(shop.val.w[: shop.faces])} validation latents, "
        f"seed {budget.seed}; {scores}, where the score is\n"
        "# (1 - success) + dependency + (1 - identity).\n"
    )
    write_atomic(out, (heading + _section(f"{name}_tuned", best.settings)).encode())
    console.result(f"{scores}; the best settings are in {out}")


def workshop(params: Params, budget: Budget) -> Workshop:
    """The data and the networks of all trials; what is asked of edits is measured on all training latents.

    Raises:
        PipelineError: when labels and networks are missing or do not belong together.
    """
    manifest = read_manifest(LABELS)
    made_by = {"generator": params.generator.weights, "labeler": params.labeler.weights}
    digests = {role: weights_digest(place) for role, place in made_by.items()}
    attributes = list(params.labeler.attributes)
    check_provenance(manifest, {**digests, "attributes": attributes}, LABELS)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    train, val = (read_split(LABELS, split, device, params.train.rows) for split in ("train", "val"))
    scales = scales_of(train.w.cpu().numpy(), train.attrs.cpu().double().numpy(), train.columns)
    protocol = Protocol.of(
        scales,
        deltas=(DELTA,),
        sides="both",
        tolerance=params.evaluate.tolerance,
        batch=params.label.batch_size,
    )
    return Workshop(
        train=replace(train, w=train.w[: budget.rows], attrs=train.attrs[: budget.rows]),
        val=val,
        context=FitContext(
            load_generator=lambda: load_generator(params.generator.weights, device=device),
            load_metric=lambda: load_metric(PULLBACK),
        ),
        folders=Folders(
            generator=params.generator.weights,
            labeler=params.labeler.weights,
            judge=params.labeler.judge,
            identity=params.labeler.identity,
            editor="",
            attributes=params.labeler.attributes,
        ),
        protocol=protocol,
        faces=budget.faces,
        chunk=params.evaluate.chunk,
        seed=params.train.seed,
    )


def _kept(name: str, shop: Workshop, bar: console.Progress) -> Attempt:
    """Trials whose outcomes are kept, each under the fingerprint of all that it depends on."""
    metric, folders = PULLBACK / METRIC, shop.folders
    networks = (folders.generator, folders.labeler, folders.judge, folders.identity)
    facts: dict[str, Any] = {
        "labels": read_manifest(LABELS).digest,
        "metric": sha256(metric) if metric.is_file() else None,
        "networks": [weights_digest(folder) for folder in networks],
        "rows": len(shop.train.w),
        "faces": shop.faces,
        "asked": [shop.protocol.deltas, shop.protocol.sides, shop.protocol.tolerance],
        "seed": shop.seed,
        "code": code_digest(*CODE),
        "torch": torch.__version__,
    }

    def attempt(settings: EditorParams) -> Outcome:
        place = WORK / "search" / name / f"{fingerprint({**facts, 'settings': asdict(settings)})}.json"
        if place.is_file():
            outcome = Outcome.of_plain(json.loads(place.read_text()))
            bar.skip(1)
            return outcome
        outcome = shop.attempt(settings)
        write_atomic(place, json.dumps(outcome.plain()).encode())
        bar.advance(1, f"score {outcome.overall.score:.3f}")
        return outcome

    return attempt


def _show(tried: Sequence[Tried]) -> None:
    """All trials as a table, in their order."""
    rows = []
    for each in tried:
        marks = each.outcome.overall
        numbers = (marks.score, marks.success, marks.dependency, marks.identity)
        changes = ", ".join(f"{name}={value}" for name, value in each.changes.items())
        rows.append((changes or "as it is", *(f"{x:.3f}" for x in numbers), f"{each.outcome.seconds:.0f}"))
    console.table(["trial", *MARKS], rows)


def _section(name: str, settings: EditorParams) -> str:
    """An editor as the files of ``conf/editor/`` have it: a line for each setting."""
    lines = [f"{name}:\n"]
    for key, value in asdict(settings).items():
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=sys.maxsize)
        text = text.removesuffix("...\n")  # the end of a document, after a single value
        lines.append(f"  {key}: {text.rstrip()}\n")
    return "".join(lines)
