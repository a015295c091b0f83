"""The latents: style vectors of noise that depends on the seed and the row number alone."""

from __future__ import annotations

__all__ = ["sample_latents", "style_vectors"]

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.config import SampleParams
from pipeline.data import (
    Manifest,
    latents_schema,
    latents_table,
    part_name,
    replace_folder,
    row_normals,
    write_manifest,
    write_part,
)
from pipeline.generators.base import Generator

# Matrix products may round differently for another number of rows: a row always goes with the same block.
BLOCK = 128


@torch.no_grad()
def style_vectors(
    generator: Generator, seed: int, first: int, stop: int, truncation_psi: float
) -> NDArray[np.float32]:
    """Style vectors ``[stop - first, w_dim]`` of these rows: row i depends on (seed, i) alone."""
    start = first - first % BLOCK
    blocks = [
        generator.mapping(
            torch.from_numpy(row_normals(seed, range(i, i + BLOCK), generator.z_dim)), truncation_psi
        )
        for i in range(start, stop, BLOCK)
    ]
    return torch.cat(blocks)[first - start : stop - start].numpy()


def sample_latents(
    generator: Generator,
    params: SampleParams,
    truncation_psi: float,
    provenance: dict[str, Any],
    target: str | Path,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Manifest:
    """Write the data folder ``target`` in one step: it appears whole, or stays as it was.

    Arguments:
        generator: whose mapping network makes the style vectors; on the CPU.
        params: how many rows, the seed, the rows of a part.
        truncation_psi: see :meth:`Generator.mapping`.
        provenance: what else the manifest says about the origin, such as the generator's digest.
        target: the folder.
        on_rows: called with the number of rows after each part.

    Raises:
        PipelineError: when a style vector is not finite.
    """
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(target).parent, prefix=".latents.") as scratch:
        folder, files = Path(scratch) / "new", []
        for index, first in enumerate(range(0, params.count, params.shard_rows)):
            stop = min(first + params.shard_rows, params.count)
            w = style_vectors(generator, params.seed, first, stop, truncation_psi)
            files.append(write_part(folder / part_name(index), latents_table(np.arange(first, stop), w)))
            on_rows(stop - first)
        made_with = {**provenance, "seed": params.seed, "truncation_psi": truncation_psi}
        manifest = write_manifest(folder, latents_schema(generator.w_dim), files, made_with)
        replace_folder(folder, target)
    return manifest
