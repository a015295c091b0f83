"""``python -m pipeline compare``: every peer trained and evaluated on one protocol, in its own folder."""

from __future__ import annotations

__all__ = ["compare_peers"]

import os
from pathlib import Path

from pipeline import console
from pipeline.cli.compose import compose
from pipeline.cli.repro import repro
from pipeline.cli.summary import show_table
from pipeline.errors import PipelineError

FOLDER = Path("comparisons")


def compare_peers(config: str, folder: str, overrides: list[str]) -> None:
    """Compose the parameters of a comparison and run its stages that are not up to date.

    Arguments:
        config: the file of ``conf/`` that says which editors, latents and seeds.
        folder: the folder of ``comparisons/`` in which the stages run.
        overrides: Hydra overrides.

    Raises:
        PipelineError: when there is no such comparison, or a stage fails.
    """
    place = FOLDER / folder
    if not (place / "dvc.yaml").is_file():
        known = ", ".join(sorted(path.parent.name for path in FOLDER.glob("*/dvc.yaml")))
        raise PipelineError(f"expected a comparison in {FOLDER}/, got {folder!r}: known: {known or 'none'}")
    compose(overrides, place / "params.yaml", config=config)
    os.chdir(place)
    repro(show=show_table)
    console.result(f"the whole report: {place / 'comparison' / 'report.md'}")
