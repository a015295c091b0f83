"""Labelling: what Ray Data, Parquet and sealing cost beside a bare loop, and what more rows cost.

The bare loop holds networks and style vectors in memory and keeps nothing: images are made and classified,
batch after batch. The stage is the real one in a folder of its own: parts are read, labelled by actors,
written and sealed. Its rate is that of its steady state, when every actor is at work; what comes before is
its start. Two loops at once say what two actors could reach on this machine. Every process computes in one
thread, under the same allocator.
"""

from __future__ import annotations

__all__ = ["main"]

import contextlib
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.growth import growth
from benchmarks.harness import Asked, Case, Report, Row, arguments, compared, flops_of
from pipeline.config import Params, load_params
from pipeline.generators import load_generator
from pipeline.generators.base import Synthesis
from pipeline.labelers import load_labeler
from pipeline.labelers.base import Labeler
from pipeline.labelling import label_latents
from pipeline.local_head import shared_local
from pipeline.paths import LATENTS
from pipeline.ray_environment import ALLOCATOR
from pipeline.resources import Actors
from pipeline.sampling import draw_styles, sample_latents
from pipeline.scoring import DTYPES, scores_of
from pipeline.storage import Storage
from pipeline.weights import weights_digest

SHARDS = 9  # of each process and turn
ROUNDS = 3  # at most, for one takes more than a minute
WIDTHS = (1, 2)  # processes at once


def main() -> None:
    """Measure, print, write."""
    asked = arguments("labelling", __doc__)
    asked = replace(asked, threads=1, rounds=1 if asked.short else min(asked.rounds, ROUNDS))
    torch.set_num_threads(asked.threads)
    os.environ |= ALLOCATOR  # of the processes that are started here
    report = Report(asked)
    report.add("rate", "Labelling, one thread a process", "images", _rate_rows(asked))
    counts = (10_000, 30_000) if asked.short else (10_000, 100_000, 1_000_000)
    title = "Stages with tiny networks, two actors, compared with their fewest rows"
    report.add("rows", title, "1000 rows", growth(counts, asked))
    report.write()


@dataclass(frozen=True, slots=True)
class Turns:
    """What takes turns.

    Attributes:
        loops: processes, each with a bare loop.
        projects: a folder with latents for each number of actors.
        params: of the stage, with networks that every folder finds.
        device: where torch computes.
    """

    loops: list[ProcessPoolExecutor]
    projects: dict[int, Path]
    params: Params
    device: str

    @property
    def rows(self) -> int:
        """Rows of each process in a turn."""
        return SHARDS * self.params.sample.shard_rows

    def loop(self, processes: int) -> float:
        """Images a second of this many loops at once."""
        started = time.perf_counter()
        for running in [loop.submit(_loop) for loop in self.loops[:processes]]:
            running.result()
        return processes * self.rows / (time.perf_counter() - started)

    def stage(self, actors: int) -> tuple[float, float]:
        """Images a second of the stage in its steady state, and the seconds until its actors begin."""
        stamps: list[float] = []
        gpus = 1 / actors if self.device == "cuda" else 0
        cluster = replace(self.params.cluster, address="local", label=Actors(actors=actors, gpus=gpus))
        with contextlib.chdir(self.projects[actors]):
            started = time.perf_counter()
            label_latents(
                replace(self.params, cluster=cluster),
                lambda rows, earlier: stamps.append(time.perf_counter()),
            )
        # Actors do not begin at the same moment, and in the end one may have nothing left.
        steady = stamps[len(stamps) // 3 - 1 : -2 * actors]
        shard = (steady[-1] - steady[0]) / (len(steady) - 1)
        return self.params.sample.shard_rows / shard, max(0.0, stamps[0] - started - actors * shard)


def _rate_rows(asked: Asked) -> list[Row]:
    """A row for each number of loops and of actors."""
    found: dict[str, list[float]] = {}
    starts: dict[str, list[float]] = {}
    with _turns(asked) as turns:
        for _ in range(asked.rounds):
            for width in WIDTHS:
                found.setdefault(_name("bare loop", width), []).append(turns.loop(width))
            for width in WIDTHS:
                name = _name("actor", width)
                rate, start = turns.stage(width)
                found.setdefault(name, []).append(rate)
                starts.setdefault(name, []).append(start)
        flops = _flops(turns.params)
    cases = [
        Case(
            name=name,
            run=lambda: None,
            flops=flops / width,  # each has a core of its own, at best
            labels={"start s": statistics.median(starts[name]) if name in starts else ""},
        )
        for name, width in zip(found, WIDTHS * 2, strict=True)
    ]
    return compared(cases, list(found.values()), asked)


def _name(what: str, count: int) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}"


@contextlib.contextmanager
def _turns(asked: Asked) -> Iterator[Turns]:
    """Loops that have loaded their networks, folders with latents, and a Ray for all turns of the stage."""
    params = load_params()
    shard = 200 if asked.short else params.sample.shard_rows
    params = replace(
        params,
        generator=replace(params.generator, weights=str(Path(params.generator.weights).resolve())),
        labeler=replace(params.labeler, weights=str(Path(params.labeler.weights).resolve())),
        sample=replace(params.sample, shard_rows=shard),
    )
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        loops = [
            stack.enter_context(ProcessPoolExecutor(1, context, _load, (params, asked.device)))
            for _ in range(max(WIDTHS))
        ]
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        projects = {width: _project(place / str(width), params, width) for width in WIDTHS}
        stack.enter_context(shared_local())
        turns = Turns(loops, projects, params, asked.device)
        turns.loop(max(WIDTHS))  # load and warm up
        yield turns


def _project(folder: Path, params: Params, actors: int) -> Path:
    """A folder with the latents for so many actors."""
    weights = params.generator.weights
    sample = replace(params.sample, count=actors * SHARDS * params.sample.shard_rows)
    provenance = {"generator": weights_digest(weights)}
    work = Storage(folder / "work")
    sample_latents(load_generator(weights), sample, params.generator, provenance, work, folder / LATENTS)
    return folder


@dataclass(frozen=True, slots=True)
class Loop:
    """Networks and style vectors ``w [N, w_dim]``, on their device."""

    synthesize: Synthesis
    labeler: Labeler
    w: Tensor
    params: Params

    def run(self) -> None:
        """Score every image and keep nothing."""
        for batch in self.w.split(self.params.label.batch_size):
            scores_of(self.synthesize, self.labeler, batch, self.params.label.precision)


def _loaded(params: Params, rows: int, device: str) -> Loop:
    generator = load_generator(params.generator.weights, device)
    return Loop(
        generator.prepare(DTYPES[params.label.precision]),
        load_labeler(params.labeler.weights, params.labeler.attributes, device),
        draw_styles(generator, 0, range(rows), params.generator.truncation_psi, device=device),
        params,
    )


def _flops(params: Params) -> float:
    """Operations of one image, as the plain path writes them."""
    batch = _loaded(params, 1, "cpu")
    return flops_of(batch.run)


_resident: list[Loop] = []  # of a process that runs nothing else


def _load(params: Params, device: str) -> None:
    torch.set_num_threads(1)
    _resident.append(_loaded(params, SHARDS * params.sample.shard_rows, device))


def _loop() -> None:
    for loop in _resident:
        loop.run()


if __name__ == "__main__":
    main()
