"""``python -m pipeline repro``: every stage that is not up to date, on one local Ray, then the summary."""

from __future__ import annotations

__all__ = ["repro"]

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.checks import check_networks
from pipeline.cli.group import run_group
from pipeline.cli.summary import summarise
from pipeline.config import load_params
from pipeline.console import verbose
from pipeline.errors import PipelineError
from pipeline.local_head import shared_local
from pipeline.paths import COMPARE


def repro(targets: Sequence[str] = (), force: bool = False, show: Callable[[], None] = summarise) -> None:
    """Check the parameters and the networks, run ``dvc repro``, print the summary.

    Arguments:
        targets: stages of ``dvc.yaml``; none means all.
        force: run stages that are up to date, too.
        show: prints the summary, where there is a comparison.

    Raises:
        PipelineError: when a check or a stage fails, or the folder is no repository.
    """
    _require_repository()
    check_networks(load_params())
    flags = ["--force"] * force + ["--verbose"] * verbose()
    with shared_local():
        status = run_group([sys.executable, "-m", "dvc", "repro", *flags, *targets])
    if status:
        raise PipelineError("a stage failed, see above: mend what it says and run the same command again")
    if COMPARE.is_dir():
        show()


def _require_repository() -> None:
    here = Path.cwd()
    if not (here / "dvc.yaml").is_file():
        raise PipelineError(
            f"expected the project's folder, got no dvc.yaml, in {here}: change to the project's folder"
        )
    if not any((folder / ".git").exists() for folder in (here, *here.parents)):
        raise PipelineError(
            f"expected a git repository, which DVC needs, got none, in {here}: run `git init` and go on"
        )
