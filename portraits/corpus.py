"""Rendered portraits on disk: the pairs (z, image) that the generator is distilled from.

``z`` is isotropic noise. A fixed rotation turns it, brought to the sphere of radius √D, into the normals of
the structural equations, so that no factor is an axis of the generator's input.

A corpus is a folder with ``images.u8`` (``[N, R, R, 3]``, unsigned bytes, memory-mapped), ``done.u8`` (one
byte a chunk) and ``corpus.json`` (what it was made from). ``z`` is not stored: row i of chunk c is a
function of (seed, c) alone.

Example:
    ``python -m portraits.corpus --out portraits/cache/corpus --count 60000 --workers 2``
"""

from __future__ import annotations

__all__ = ["Corpus", "factors_of_z", "open_corpus", "sample_z", "write_corpus"]

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.console import progress, run_stage, stage
from pipeline.errors import PipelineError
from pipeline.weights import write_atomic
from portraits.factors import D, factors_from_normals
from portraits.renderer import render

CHUNK = 100
ROTATION_SEED = 64
IMAGES, DONE, META = "images.u8", "done.u8", "corpus.json"


@dataclass(frozen=True, slots=True)
class Corpus:
    """Pairs of noise and image, the last ``held_out`` of which are never trained on."""

    z: Tensor
    images: np.ndarray
    held_out: int

    @property
    def train_size(self) -> int:
        """How many pairs there are to train on."""
        return len(self.z) - self.held_out

    def batch(self, rows: Tensor, resolution: int) -> tuple[Tensor, Tensor]:
        """``z [N, D]`` and images ``[N, 3, resolution, resolution]`` in [-1, 1] of some rows."""
        picture = (
            torch.from_numpy(self.images[rows.numpy()]).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)
        )
        return self.z[rows], F.adaptive_avg_pool2d(picture, resolution)


def factors_of_z(z: Tensor) -> Tensor:
    """True factors ``[N, D]`` of the portraits that the generator was taught to make of noise ``[N, D]``."""
    sphere = z * z.square().mean(dim=1, keepdim=True).rsqrt()
    return factors_from_normals(sphere @ rotation(z.shape[1]).to(z))


def rotation(width: int) -> Tensor:
    """A fixed random orthogonal matrix ``[width, width]``."""
    noise = torch.randn(
        width, width, generator=torch.Generator().manual_seed(ROTATION_SEED), dtype=torch.float64
    )
    q, r = torch.linalg.qr(noise)
    return (q * r.diagonal().sign()).float()


def sample_z(count: int, seed: int) -> Tensor:
    """Noise ``[count, D]``; the first rows of a larger count are the same."""
    chunks = -(-count // CHUNK)
    generators = (torch.Generator().manual_seed(seed * 1_000_003 + chunk) for chunk in range(chunks))
    return torch.cat([torch.randn(CHUNK, D, generator=g) for g in generators])[:count]


def write_corpus(folder: Path, count: int, seed: int = 0, resolution: int = 64, workers: int = 2) -> None:
    """Render a corpus, going on where an earlier call stopped.

    Arguments:
        folder: where it goes; it may hold a part of the same corpus.
        count: pictures, a multiple of 100.
        seed: of the noise.
        resolution: width and height of the pictures.
        workers: processes, one thread each; 1 renders in this process.

    Raises:
        PipelineError: when the count is no multiple of 100.
    """
    if count % CHUNK:
        raise PipelineError(f"expected a multiple of {CHUNK} pictures, got {count}: round it")
    _prepare(folder, {"count": count, "seed": seed, "resolution": resolution, "renderer": _renderer_digest()})
    todo = [int(chunk) for chunk in np.flatnonzero(np.fromfile(folder / DONE, np.uint8) == 0)]
    jobs = [(folder, chunk, seed, resolution, count) for chunk in todo]
    with progress(count, "portraits") as bar:
        bar.skip(count - CHUNK * len(todo))
        for _ in _rendered(jobs, workers):
            bar.advance(CHUNK)


def open_corpus(folder: Path, held_out: int = 1000) -> Corpus:
    """Open a whole corpus for training.

    Raises:
        PipelineError: when it is missing, incomplete or smaller than what is held out.
    """
    if not (folder / META).is_file() or not np.fromfile(folder / DONE, np.uint8).all():
        raise PipelineError(
            f"expected a whole corpus in {folder}, got none: run python -m portraits.corpus --out {folder}"
        )
    meta = json.loads((folder / META).read_text())
    if meta["count"] <= held_out:
        raise PipelineError(
            f"expected more than {held_out} pictures in {folder}, got {meta['count']}: render more"
        )
    shape = (meta["count"], meta["resolution"], meta["resolution"], 3)
    images = np.memmap(folder / IMAGES, np.uint8, "r", shape=shape)
    return Corpus(sample_z(meta["count"], meta["seed"]), images, held_out)


def _prepare(folder: Path, meta: dict[str, int | str]) -> None:
    """Empty files of the right size, unless the folder holds this very corpus already."""
    if (folder / META).is_file() and json.loads((folder / META).read_text()) == meta:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)
    count, resolution = int(meta["count"]), int(meta["resolution"])
    for name, size in ((IMAGES, count * resolution**2 * 3), (DONE, count // CHUNK)):
        (folder / name).unlink(missing_ok=True)
        with open(folder / name, "wb") as file:
            os.truncate(file.fileno(), size)
    write_atomic(folder / META, json.dumps(meta).encode())


def _rendered(jobs: list[tuple[Path, int, int, int, int]], workers: int) -> Iterator[None]:
    """One item whenever another chunk is in its place."""
    if workers == 1:
        yield from map(_render_chunk, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.imap_unordered(_render_chunk, jobs)


def _render_chunk(job: tuple[Path, int, int, int, int]) -> None:
    """Render one chunk into its place, then mark it done."""
    folder, chunk, seed, resolution, count = job
    z = torch.randn(CHUNK, D, generator=torch.Generator().manual_seed(seed * 1_000_003 + chunk))
    picture = render(factors_of_z(z), resolution).add(1.0).mul(127.5).round().clamp(0, 255).byte()
    images = np.memmap(folder / IMAGES, np.uint8, "r+", shape=(count, resolution, resolution, 3))
    images[chunk * CHUNK : (chunk + 1) * CHUNK] = picture.permute(0, 2, 3, 1).numpy()
    images.flush()
    np.memmap(folder / DONE, np.uint8, "r+")[chunk] = 1


def _renderer_digest() -> str:
    """Of the sources that decide what a portrait looks like."""
    here = Path(__file__).parent
    names = ("body", "face", "factors", "features", "renderer", "shapes")
    return hashlib.sha256(b"".join((here / f"{name}.py").read_bytes() for name in names)).hexdigest()


def main() -> None:
    """Render a corpus from the command line."""
    parser = argparse.ArgumentParser(description="Render the portraits that the generator is distilled from.")
    parser.add_argument(
        "--out", type=Path, default=Path("portraits/cache/corpus"), help="folder of the corpus"
    )
    parser.add_argument("--count", type=int, default=60_000, help="pictures, the held-out ones included")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    parser.add_argument("--resolution", type=int, default=64, help="width and height in pixels")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    with stage("render the corpus"):
        write_corpus(arguments.out, arguments.count, arguments.seed, arguments.resolution, arguments.workers)


if __name__ == "__main__":
    sys.exit(run_stage(main)())
