"""A label driver at work, with actors that do all but compute: read parts, sleep, write parts, seal them.

The driver is a process of its own, so that its memory and its processor time are its own, and goes through
:func:`pipeline.cluster.map_shards` like the stage. A *crowd* is an actor whose shards do not take turns: each
of its hundreds of threads stands for a machine of a cluster that does not fit on this one.
"""

from __future__ import annotations

__all__ = ["COLUMNS", "LABELS_SCHEMA", "Drive", "alone", "drive", "labelled", "resident"]

import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from benchmarks.harness import Row
from pipeline.attributes import Attribute
from pipeline.cluster import connect, map_shards
from pipeline.data import (
    FileEntry,
    attach_labels,
    labels_schema,
    latents_table,
    part_name,
    read_manifest,
    write_manifest,
    write_part,
)
from pipeline.labelers.base import Labeler
from pipeline.labelling import LabelActor
from pipeline.paths import LATENTS
from pipeline.resources import Actors, ClusterParams
from pipeline.sealed import SealedParts
from pipeline.storage import Storage

P = ParamSpec("P")
T = TypeVar("T")
W_DIM = 512
ATTRIBUTES = tuple(Attribute(name=f"attribute_{k}") for k in range(40))  # as many as CelebA has
COLUMNS = tuple(attribute.name for attribute in ATTRIBUTES)
LABELS_SCHEMA = labels_schema(W_DIM, COLUMNS)
ROWS = 4  # of a shard: what a driver does is the same for any number
CPUS = 0.05  # of an actor: what sleeps needs none


class SleepingLabeler(Labeler):
    """Takes its time for a batch, and says nothing of it."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.attributes, self.seconds = ATTRIBUTES, seconds

    def forward(self, img: Tensor) -> Tensor:
        """Zeros."""
        time.sleep(self.seconds)
        return torch.zeros(len(img), len(self.columns))

    def config(self) -> dict[str, Any]:
        """It is never saved."""
        raise NotImplementedError


class Sleeper(LabelActor):
    """The actor of labelling with a labeler that sleeps, once for each shard, and no generator."""

    def __init__(self, work: str, seconds: float, device: str) -> None:
        self.synthesize = lambda w: w
        self.labeler = SleepingLabeler(seconds)
        self.latents, self.parts = Path(LATENTS), SealedParts(Storage(work))
        self.schema = read_manifest(LATENTS).schema
        self.batch_size, self.precision, self.device = ROWS, "fp32", device
        self.networks_in_use = threading.Lock()


class Crowd(Sleeper):
    """Fifty sleepers in one process."""

    at_once = 50

    def __init__(self, work: str, seconds: float, device: str) -> None:
        super().__init__(work, seconds, device)
        self.networks_in_use = nullcontext()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One run of the driver.

    Attributes:
        shards: how many.
        actors: processes that sleep.
        crowd: whether each stands for fifty.
        seconds: of a shard.
    """

    shards: int
    actors: int = 2
    crowd: bool = False
    seconds: float = 0.0

    @property
    def workers(self) -> int:
        """How many can sleep at once."""
        return self.actors * (Crowd.at_once if self.crowd else 1)


def drive(asked: Drive, folder: Path) -> Row:
    """Run the driver in a process of its own; inside :func:`pipeline.local_head.shared_local`.

    Arguments:
        asked: what to run.
        folder: a new one, for latents, parts and seals.

    Returns:
        What was asked, ``start s`` (until the first shard is done), ``feed s`` (until Ray Data has all
        shards), ``driver s`` (of processor time), ``driver MB`` (what it has grown by) and
        ``shards/s`` between the first quarter and the end.
    """
    _write_latents(folder / LATENTS, asked.shards)
    return {"name": "crowd" if asked.crowd else "actors", **alone(_drive, asked, folder)}


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call gives in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *args, **kwargs).result()


def _drive(asked: Drive, folder: Path) -> Row:
    os.chdir(folder)
    shards = [asdict(file) for file in read_manifest(LATENTS).files]
    kwargs = {"work": str(folder / "work"), "seconds": asked.seconds}
    actors = Actors(actors=asked.actors, cpus=CPUS, gpus=0)
    stamps: list[float] = []
    with connect(ClusterParams()):
        import ray.data

        memory, busy, started = resident(), time.process_time(), time.perf_counter()
        entries = map_shards(
            shards,
            Crowd if asked.crowd else Sleeper,
            kwargs,
            actors,
            lambda entry: stamps.append(time.perf_counter() - started),
        )
        busy, memory = time.process_time() - busy, resident() - memory
        started = time.perf_counter()
        rows = [{"index": index, "shard": pickle.dumps(shard)} for index, shard in enumerate(shards)]
        ray.data.from_items(rows, override_num_blocks=len(rows))
        feed = time.perf_counter() - started
    assert [FileEntry(**entry).name for entry in entries] == [shard["name"] for shard in shards]
    steady = stamps[len(stamps) // 4 :]
    return {
        "shards": asked.shards,
        "workers": asked.workers,
        "shard s": asked.seconds,
        "start s": stamps[0],
        "feed s": feed,
        "driver s": busy,
        "driver MB": memory,
        "shards/s": (len(steady) - 1) / (steady[-1] - steady[0]),
    }


def resident(what: str = "VmRSS") -> float:
    """Megabytes that this process holds, or held at most (``"VmHWM"``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def labelled(rows: int, first: int = 0) -> pa.Table:
    """A part of labels as a labeler of forty attributes makes them, from row ``first`` on."""
    random = np.random.default_rng(first)
    w, ids = random.standard_normal((rows, W_DIM), dtype=np.float32), np.arange(first, first + rows)
    return attach_labels(latents_table(ids, w), random.standard_normal((rows, len(COLUMNS))), COLUMNS)


def _write_latents(folder: Path, shards: int) -> None:
    """Latents whose parts are one file under many names."""
    table = labelled(ROWS).select(["id", "split", "w"])
    entry = write_part(folder, part_name(0), table)
    for index in range(1, shards):
        os.link(folder / entry.name, folder / part_name(index))
    entries = [replace(entry, name=part_name(index)) for index in range(shards)]
    write_manifest(folder, table.schema, entries, {})
