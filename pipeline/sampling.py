"""The latents: style vectors of noise, and classes, that depend on the seed and the row number alone."""

from __future__ import annotations

__all__ = ["draw_styles", "sample_latents", "style_vectors"]

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pipeline.config import GeneratorParams, SampleParams
from pipeline.data import (
    FileEntry,
    Manifest,
    latents_schema,
    latents_table,
    part_name,
)
from pipeline.errors import PipelineError
from pipeline.generators.base import Generator
from pipeline.rows import row_classes, row_normals
from pipeline.sealed import SealedParts
from pipeline.storage import Storage

# Matrix products may round differently for another number of rows: a row always goes with the same block.
BLOCK = 128


@torch.no_grad()
def draw_styles(
    generator: Generator,
    seed: int,
    ids: ArrayLike,
    truncation_psi: float,
    class_label: int | None = None,
    device: str = "cpu",
) -> Tensor:
    """Style vectors ``[N, w_dim]``: row i depends on ``(seed, ids[i])`` alone.

    Arguments:
        generator: whose mapping network makes them.
        seed: seeds noise and classes.
        ids: row numbers ``[N]``.
        truncation_psi: see :meth:`Generator.mapping`.
        class_label: the class of every row, of a conditional generator; ``None`` draws one for each row.
        device: where the generator is.

    Raises:
        PipelineError: for a class that the generator does not have.
    """
    z = torch.from_numpy(row_normals(seed, ids, generator.z_dim)).to(device)
    if class_label is not None and class_label >= generator.c_dim:
        raise PipelineError(
            f"expected a class below {generator.c_dim}, got {class_label}, in generator.class_label: "
            + ("choose another" if generator.c_dim else "this generator has no classes, use null")
        )
    if not generator.c_dim:
        return generator.mapping(z, truncation_psi)
    drawn = row_classes(seed, ids, generator.c_dim)
    classes = torch.from_numpy(drawn if class_label is None else np.full_like(drawn, class_label))
    c = torch.nn.functional.one_hot(classes, generator.c_dim).to(z)
    return generator.mapping(z, truncation_psi, c)


def style_vectors(
    generator: Generator,
    seed: int,
    first: int,
    stop: int,
    truncation_psi: float,
    class_label: int | None = None,
) -> NDArray[np.float32]:
    """Style vectors ``[stop - first, w_dim]`` of these rows: row i depends on (seed, i) alone."""
    start = first - first % BLOCK
    blocks = [
        draw_styles(generator, seed, range(i, i + BLOCK), truncation_psi, class_label)
        for i in range(start, stop, BLOCK)
    ]
    return torch.cat(blocks)[first - start : stop - start].numpy()


def sample_latents(
    generator: Generator,
    params: SampleParams,
    origin: GeneratorParams,
    provenance: dict[str, Any],
    work: Storage,
    target: str | Path,
    on_rows: Callable[[int, bool], None] = lambda rows, earlier: None,
) -> Manifest:
    """Write the data folder ``target``: it appears whole, or stays as it was.

    Arguments:
        generator: whose mapping network makes the style vectors; on the CPU.
        params: how many rows, the seed, the rows of a part.
        origin: truncation and class.
        provenance: what else the manifest says about the origin, such as the generator's digest.
        work: a place for the parts of these latents alone: see :mod:`pipeline.sealed`.
        target: the folder.
        on_rows: called with a number of rows that are done, and whether an earlier, killed run did them.

    Raises:
        PipelineError: when a style vector is not finite.
    """
    parts = SealedParts(work)
    names = [part_name(index) for index in range(math.ceil(params.count / params.shard_rows))]
    done = parts.finished(names)
    for entry in done.values():
        on_rows(entry.rows, True)

    def write(index: int) -> FileEntry:
        first = index * params.shard_rows
        stop = min(first + params.shard_rows, params.count)
        w = style_vectors(generator, params.seed, first, stop, origin.truncation_psi, origin.class_label)
        return parts.write(part_name(index), latents_table(np.arange(first, stop), w))

    threads = torch.get_num_threads()  # of each thread here: the bytes are those of one after the other
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        for entry in pool.map(write, [i for i, name in enumerate(names) if name not in done]):
            done[entry.name] = entry
            on_rows(entry.rows, False)
    made_with = {
        **provenance,
        "seed": params.seed,
        "truncation_psi": origin.truncation_psi,
        "class_label": origin.class_label,
    }
    manifest = Manifest.of(latents_schema(generator.w_dim), [done[name] for name in names], made_with)
    parts.publish(manifest, Path(target))
    return manifest
