"""The driver of labelling: shards a second that one can schedule, commit and record, and what it holds.

*Scheduled* are shards by the real driver on the real Ray Data, with actors that sleep (see
:mod:`benchmarks.sleepers`). *Committed* are parts of the size of real ones, written and sealed, in a folder
and on a server that speaks S3 and runs beside. *Recorded* are manifests. What samples and reads the rows
before and after is measured as well, for :mod:`benchmarks.goodput` makes a plan of all that.
"""

from __future__ import annotations

__all__ = ["main"]

import contextlib
import importlib.util
import itertools
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.harness import Asked, Case, Report, Row, arguments, measure
from benchmarks.sleepers import COLUMNS, LABELS_SCHEMA, Drive, alone, drive, labelled, resident
from pipeline.config import SampleParams, load_params
from pipeline.data import (
    FileEntry,
    part_name,
    read_manifest,
    write_manifest,
    write_part,
)
from pipeline.generators import StyleGAN2, load_generator
from pipeline.local_head import shared_local
from pipeline.manifest import MANIFEST
from pipeline.sampling import sample_latents
from pipeline.splits import read_split
from pipeline.storage import Storage
from pipeline.weights import save_weights

SHORT_DRIVES = (Drive(shards=100), Drive(shards=400), Drive(shards=100, seconds=0.1))
DRIVES = (
    Drive(shards=200),
    Drive(shards=1000),
    Drive(shards=5000),
    Drive(shards=400, seconds=0.1),
    Drive(shards=1500, crowd=True, seconds=2),
    Drive(shards=2000, crowd=True, seconds=0.5),
)
WRITERS = 16  # parts on their way at once, as those of a cluster are
SHARD = 500  # rows, the default
LARGE_SHARD = 5000
BUCKET = "labels"


def main() -> None:
    """Measure, print, write."""
    asked = arguments("driver", __doc__)
    report = Report(asked)
    title = "Scheduled: Ray Data with actors that sleep"
    report.add("scheduled", title, "shards", _scheduled(SHORT_DRIVES if asked.short else DRIVES))
    report.add("committed", f"Committed, {WRITERS} at once", "parts", _committed(asked))
    counts = (200, 5000) if asked.short else (200, 1000, 10_000, 200_000)
    report.add("recorded", "Recorded: one manifest", "entries", [alone(_recorded, count) for count in counts])
    report.add("rows", "Before and after: 512 wide styles, 40 labels", "", _around(asked))
    report.write()


def _scheduled(drives: tuple[Drive, ...]) -> list[Row]:
    """A row for each run of the driver; they share a Ray that has been warmed up."""
    with tempfile.TemporaryDirectory() as place, shared_local():
        drive(Drive(shards=10), Path(place) / "warm")
        return [drive(asked, Path(place) / str(index)) for index, asked in enumerate(drives)]


def _committed(asked: Asked) -> list[Row]:
    """Parts and seals, and looks at seals as a run that goes on from them has."""
    with contextlib.ExitStack() as stack:
        places = {"folder": stack.enter_context(tempfile.TemporaryDirectory())}
        if importlib.util.find_spec("moto"):
            places["S3"] = stack.enter_context(_s3())
        cases = [
            Case(name=name, run=_commits(Storage(place), rows), work=WRITERS, labels={"rows": rows})
            for rows in (SHARD, LARGE_SHARD)
            for name, place in places.items()
        ]
        return measure(cases, replace(asked, rounds=min(asked.rounds, 3)))


def _commits(storage: Storage, rows: int) -> Callable[[], object]:
    """What writes and seals parts, each under another name."""
    table, numbers = labelled(rows), itertools.count()

    def commit(index: int) -> None:
        entry = write_part(storage.child("parts"), part_name(index), table)
        storage.write(f"seals/{entry.name}.json", json.dumps(entry.plain()).encode())

    def run() -> None:
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(commit, [next(numbers) % 64 for _ in range(WRITERS)]))

    return run


@contextlib.contextmanager
def _s3() -> Iterator[str]:
    """The URI of a bucket of a server that speaks S3, on this machine, for the length of the block."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _make_bucket(f"http://127.0.0.1:{port}/{BUCKET}")
        yield f"s3://{BUCKET}/work?scheme=http&endpoint_override=127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _make_bucket(url: str) -> None:
    """Ask until the server is there."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=30).close()
            return
        time.sleep(0.1)
    raise TimeoutError(url)


def _recorded(count: int) -> Row:
    """Write, read and identify a manifest of so many parts in a storage."""
    before = resident()
    uri = "s3://bucket/project/label/0123456789abcdef/parts/"
    entries = [
        FileEntry(name=name, rows=SHARD, sha256=secrets.token_hex(32), size=1 << 20, uri=uri + name)
        for name in map(part_name, range(count))
    ]
    held = resident() - before
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_manifest(folder, LABELS_SCHEMA, entries, {})
        written = time.perf_counter()
        manifest = read_manifest(folder)
        read = time.perf_counter()
        manifest.digest  # noqa: B018
        size = (Path(folder) / MANIFEST).stat().st_size
    return {
        "name": "manifest",
        "entries": count,
        "bytes an entry": size / count,
        "MB": size / 1e6,
        "write s": written - started,
        "read s": read - written,
        "digest s": time.perf_counter() - read,
        "held MB": held,
    }


def _around(asked: Asked) -> list[Row]:
    """What happens once, what a row weighs, and the memory of a split."""
    rows, parts, resolution = (1000, 4, 64) if asked.short else (10_000, 40, 1024)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        torch.manual_seed(0)
        generator = StyleGAN2(img_resolution=resolution, conv_clamp=256.0)
        save_weights(place / "generator", generator.state_dict(), generator.config())
        torch.set_num_threads(1)  # as the stage does
        started = time.perf_counter()
        sample = SampleParams(count=rows, shard_rows=SHARD)
        work = Storage(place / "work")
        sample_latents(generator, sample, load_params().generator, {}, work, place / "latents")
        written = time.perf_counter()
        torch.set_num_threads(asked.threads)
        load_generator(place / "generator").prepare()
        loaded = time.perf_counter()
        tables = (labelled(LARGE_SHARD, index * LARGE_SHARD) for index in range(parts))
        files = [write_part(place / "labels", part_name(index), table) for index, table in enumerate(tables)]
        write_manifest(place / "labels", LABELS_SCHEMA, files, {"columns": COLUMNS, "decided": []})
        memory = alone(_memory_of_split, place / "labels")
        sizes = [
            (place / name / part_name(0)).stat().st_size / rows
            for name, rows in (("latents", SHARD), ("labels", LARGE_SHARD))
        ]
    return [
        {
            "name": "latents sampled and written, a row",
            "value": 1e6 * (written - started) / rows,
            "unit": "µs",
        },
        {"name": "generator loaded and prepared", "value": loaded - written, "unit": "s"},
        {"name": "latents, a row in a file", "value": sizes[0], "unit": "bytes"},
        {"name": "labels, a row in a file", "value": sizes[1], "unit": "bytes"},
        {"name": "training split in memory, a row at most", "value": memory, "unit": "bytes"},
    ]


def _memory_of_split(folder: Path) -> float:
    """Bytes that reading the training split takes at most, for each of its rows."""
    before = resident()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    rows = len(read_split(folder, "train").w)
    return (resident("VmHWM") - before) * 2**20 / rows


if __name__ == "__main__":
    main()
