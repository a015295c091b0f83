"""Synthesize every latent and let the labeler look at it: into ``data/labels``."""

from __future__ import annotations

__all__ = ["main"]

from pipeline import console
from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.jobs.submitting import runs_as_job
from pipeline.labelling import doubts_about_labels, label_latents
from pipeline.paths import LABELS


@console.run_stage
@runs_as_job("label")
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    with console.stage("label"):
        with console.progress(params.sample.count, "rows") as bar:

            def on_rows(rows: int, earlier: bool) -> None:
                (bar.skip if earlier else bar.advance)(rows)

            manifest = label_latents(params, on_rows)
        console.result(
            f"{manifest.rows:,} rows with {len(manifest.provenance['columns'])} labels in {LABELS}"
        )
        for doubt in doubts_about_labels(params):
            console.warning(doubt)


if __name__ == "__main__":
    run_and_exit(main)
