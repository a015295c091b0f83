"""Train one editor: into ``models/<editor>``."""

from __future__ import annotations

__all__ = ["main"]

import sys

from pipeline import console
from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.jobs.submitting import runs_as_job
from pipeline.training import train_editor


@console.run_stage
@runs_as_job("train")
def main(editor: str) -> None:
    """Run the stage in the project's root for one editor of ``params.yaml``."""
    params = load_params()
    settings = params.editor_settings(editor)
    with console.stage(f"train {editor}"):
        with console.progress(getattr(settings, "epochs", None), "epochs") as bar:

            def on_epoch(row: dict[str, float]) -> None:
                if earlier := int(row["epoch"]) - bar.done:
                    bar.skip(earlier)
                bar.advance(1, f"val {row['val_loss']:.4g}")

            trained = train_editor(editor, params, on_epoch)
        if best := trained.best:
            console.result(
                f"{len(trained.history)} epochs, the best is {best['epoch']} with validation loss "
                f"{best['val_loss']:.4g}, in {trained.folder}"
            )
        else:
            console.result(f"fitted in closed form, in {trained.folder}")


if __name__ == "__main__":
    run_and_exit(main, *sys.argv[1:])
