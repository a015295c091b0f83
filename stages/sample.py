"""Draw the latents: noise through the mapping network, into ``data/latents``.

A run that was killed is gone on with: the parts that it has finished are there.
"""

from __future__ import annotations

__all__ = ["main"]

import sys
from dataclasses import asdict
from pathlib import Path

import torch

from pipeline import console
from pipeline.config import Params, load_params
from pipeline.generators import load_generator
from pipeline.jobs.submitting import runs_as_job
from pipeline.paths import LATENTS
from pipeline.sampling import sample_latents
from pipeline.scratch import code_digest, work_folder, work_storage
from pipeline.weights import weights_digest

CODE = ("generators", "sampling", "data", "manifest", "rows")


@console.run_stage
@runs_as_job("sample")
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    torch.set_num_threads(1)  # the same bytes on every machine
    with console.stage("sample"):
        generator = load_generator(params.generator.weights)
        provenance = {"generator": weights_digest(params.generator.weights)}
        work = work_storage(params.cluster.storage, _work_of(params, provenance))
        with console.progress(params.sample.count, "latents") as bar:

            def on_rows(rows: int, earlier: bool) -> None:
                (bar.skip if earlier else bar.advance)(rows)

            manifest = sample_latents(
                generator, params.sample, params.generator, provenance, work, LATENTS, on_rows
            )
        console.result(
            f"{manifest.rows:,} latents of width {generator.w_dim} in {LATENTS}, {len(manifest.files)} parts"
        )


def _work_of(params: Params, provenance: dict[str, str]) -> Path:
    """The place of work, named by all that determines the latents."""
    facts = {
        **provenance,
        **asdict(params.sample),
        "truncation_psi": params.generator.truncation_psi,
        "class_label": params.generator.class_label,
        "code": code_digest(*CODE),
    }
    return work_folder("sample", facts)


if __name__ == "__main__":
    sys.exit(main())
