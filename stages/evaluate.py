"""Edit test latents at matched strength, let the judge score, and report: into ``reports/<editor>``."""

from __future__ import annotations

__all__ = ["main"]

import sys

from pipeline import console
from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.evaluation import evaluate
from pipeline.jobs.submitting import runs_as_job
from pipeline.paths import report_folder


@console.run_stage
@runs_as_job("evaluate")
def main(editor: str) -> None:
    """Run the stage in the project's root for one editor of ``params.yaml``."""
    params = load_params()
    params.editor_settings(editor)  # a misspelt name is refused before anything is loaded
    with console.stage(f"evaluate {editor}"):
        metrics = evaluate(editor, params)
        names = [name for name in ("success", "dependency", "identity", "unreached") if name in metrics]
        numbers = ", ".join(f"{name} {metrics[name]:.3f}" for name in names)
        console.result(f"{numbers} on {metrics['count']} faces, in {report_folder(editor)}")


if __name__ == "__main__":
    run_and_exit(main, *sys.argv[1:])
