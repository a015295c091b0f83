"""Draw the latents: noise through the mapping network, into ``data/latents``."""

from __future__ import annotations

__all__ = ["main"]

import sys

import torch

from pipeline import console
from pipeline.config import load_params
from pipeline.generators import load_generator
from pipeline.paths import LATENTS
from pipeline.sampling import sample_latents
from pipeline.weights import weights_digest


@console.run_stage
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    torch.set_num_threads(1)  # the same bytes on every machine
    with console.stage("sample"):
        generator = load_generator(params.generator.weights)
        provenance = {"generator": weights_digest(params.generator.weights)}
        with console.progress(params.sample.count, "latents") as bar:
            manifest = sample_latents(
                generator, params.sample, params.generator, provenance, LATENTS, bar.advance
            )
        console.result(
            f"{manifest.rows:,} latents of width {generator.w_dim} in {LATENTS}, {len(manifest.files)} parts"
        )


if __name__ == "__main__":
    sys.exit(main())
