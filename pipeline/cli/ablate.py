"""``python -m pipeline ablate``: the variants of ``conf/ablation.yaml`` as DVC experiments, and their table.

Each experiment runs in a folder of DVC's own and in the foreground, one after the other (``--temp``, not
``--queue``): the workers of DVC's queue are daemons, which a Ctrl-C leaves running.
"""

from __future__ import annotations

__all__ = ["ablate", "experiment", "experiment_name"]

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline import console
from pipeline.ablation import EDITOR, Variant, load_variants, overrides_of, rows_of, table_csv, table_md
from pipeline.checks import check_networks
from pipeline.cli.compose import compose
from pipeline.cli.group import run_group
from pipeline.config import Params, load_params
from pipeline.errors import PipelineError
from pipeline.local_head import shared_local
from pipeline.paths import WORK, report_folder
from pipeline.scratch import code_digest, fingerprint
from pipeline.weights import weights_digest, write_atomic

VARIANTS = Path("conf/ablation.yaml")
OUT = Path("comparisons/ablation")
TARGETS = (f"train@{EDITOR}", f"evaluate@{EDITOR}")
METRICS = (report_folder(EDITOR) / "metrics.json").as_posix()

# What an experiment depends on beside its overrides.
SECTIONS = ("generator", "labeler", "sample", "label", "pullback", "train", "evaluate")
CODE = (
    *("attributes", "bench", "data", "editors", "evaluation", "generators", "labelers", "labelling", "loop"),
    *("metrics", "plan", "pulling", "sampling", "training", "trials", "workers"),
)


def ablate(only: Sequence[str] = (), faces: int | None = None) -> None:
    """Run every variant that has not been run yet, and write ``comparisons/ablation/table.md`` and ``.csv``.

    Arguments:
        only: the variants that are wanted beside the default; empty for all.
        faces: validation latents to edit; ``None`` for ``evaluate.count``.

    Raises:
        PipelineError: for wrong variants; and naming the variants that failed, after the table of the others.
    """
    if faces is not None and faces < 1:
        raise PipelineError(f"expected at least 1, got --faces {faces}: raise it")
    composed = WORK / "ablation" / "params.yaml"  # what DVC composes for an experiment
    composed.parent.mkdir(parents=True, exist_ok=True)
    compose(out=composed)
    params = load_params(composed)
    params = replace(params, evaluate=replace(params.evaluate, count=faces or params.evaluate.count))
    check_networks(params)
    names = {
        experiment_name(each, params): each
        for each in load_variants(VARIANTS, params.editor_settings(EDITOR), only)
    }
    done = _finished()
    waiting = [name for name in names if name not in done]
    console.result(f"{len(names)} variants, {len(names) - len(waiting)} of them finished before")
    failed = _run({name: overrides_of(names[name], faces) for name in waiting})
    done = _finished()
    results = {
        each.name: (each, _metrics(name, done[name])) for name, each in names.items() if name not in failed
    }
    rows = rows_of(results)
    write_atomic(OUT / "table.csv", table_csv(rows).encode())
    write_atomic(OUT / "table.md", table_md(rows, params.evaluate.count).encode())
    console.result(f"{len(rows)} variants in {OUT / 'table.md'}")
    if failed:
        wrong = ", ".join(names[name].name for name in failed)
        raise PipelineError(
            f"expected every variant to end, got failures of {wrong}, see above: mend them and run again"
        )


def _run(experiments: dict[str, list[str]]) -> list[str]:
    """Run experiments by their overrides; the names of those that failed."""
    dvc, failed = [sys.executable, "-m", "dvc"], []
    with shared_local():
        # All of it: DVC keeps no experiment where the files that `dvc plots` reads are not in its cache.
        if experiments and run_group([*dvc, "repro", "compare"]):
            raise PipelineError("expected the default to be up to date, got a stage that failed, see above")
        for number, (name, overrides) in enumerate(experiments.items(), 1):
            try:
                with console.stage(f"variant {number} of {len(experiments)}: {name}"):
                    if run_group(experiment(name, overrides)):
                        raise PipelineError(f"expected {name} to end, got a stage that failed, see above")
            except PipelineError as error:
                console.warning(str(error))
                failed.append(name)
    return failed


def experiment(name: str, overrides: Sequence[str]) -> list[str]:
    """The command that runs one experiment in a folder of its own."""
    flags = [part for override in overrides for part in ("-S", override)]
    return [sys.executable, "-m", "dvc", "exp", "run", "--temp", "--name", name, *flags, *TARGETS]


def experiment_name(variant: Variant, params: Params) -> str:
    """The name of a variant's experiment: another one when anything differs that its numbers depend on."""
    networks = (
        params.generator.weights,
        *(getattr(params.labeler, n) for n in ("weights", "judge", "identity")),
    )
    facts: dict[str, Any] = {
        "settings": asdict(variant.settings),
        "sections": {name: asdict(getattr(params, name)) for name in SECTIONS},
        "networks": [weights_digest(folder) for folder in networks],
        "code": code_digest(*CODE),
    }
    return f"{variant.name}-{fingerprint(facts)}"


def _finished() -> dict[str, str]:
    """Name → commit of all experiments of this repository."""
    from dvc.repo import Repo

    with Repo() as repo:
        found = repo.experiments.ls(all_commits=True).values()
        return {name: commit for experiments in found for name, commit in experiments}


def _metrics(name: str, commit: str) -> dict[str, Any]:
    """The ``metrics.json`` of an experiment.

    From the cache, by the stage's own entry: DVC's ways to show metrics parse every ``dvc.yaml`` of a commit,
    those under ``comparisons/`` too, whose parameters are composed when they are needed.
    """
    from dvc.repo import Repo

    with Repo(rev=commit) as repo:
        (stage,) = repo.stage.load_all("dvc.yaml", TARGETS[-1])
        (out,) = (out for out in stage.outs if out.def_path == METRICS)
        path = Path(out.cache_path)
    if not path.is_file():
        raise PipelineError(
            f"expected {METRICS} of the experiment {name} in DVC's cache, got none: "
            f"run `dvc exp remove {name}` and the same command again"
        )
    found: dict[str, Any] = json.loads(path.read_text())
    return found
