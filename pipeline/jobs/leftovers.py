"""What interrupted runs have left in the storage.

There lie work in flight (``sample/``, ``label/``, ``pullback/``, ``train/``), files under their digests and
lists of them (``files/``, ``trees/``), and what finished jobs have made (``results/``). Others may use the
same place, so only what nobody needs any more counts as left: what no result and no job that runs refers to,
and nothing young.
"""

from __future__ import annotations

__all__ = ["Stored", "stored_leftovers"]

import json
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.jobs.watching import RunningJob
from pipeline.manifest import MANIFEST
from pipeline.storage import AT_ONCE, Storage, StoredFile
from pipeline.trees import Tree
from pipeline.weights import PARTIAL

WORK = ("sample", "label", "pullback", "train")  # folders of work in flight, a stage each
WHOLE = f"parts/{MANIFEST}"  # data that are whole stay: manifests say where they are, in any cache
LIST = re.compile(r"trees/[0-9a-f]{64}\.json")


@dataclass(frozen=True, slots=True)
class Stored:
    """Files in the storage that are left for one reason.

    Attributes:
        name: what shows them.
        what: why they are there, and what is lost with them.
        files: all of them.
    """

    name: str
    what: str
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def stored_leftovers(storage: Storage, jobs: Collection[RunningJob], hours: float) -> list[Stored]:
    """What is left, in the order in which it is to be removed.

    Arguments:
        storage: the project's place; nothing outside of it is looked at.
        jobs: those that run, and need what they work on.
        hours: what was written since then is not left: its job may run on another cluster, or come soon.

    Raises:
        PipelineError: when the store does not answer.
    """
    files = storage.files()
    old = {file.name for file in files if file.age >= hours * 3600}
    partial = [file for file in files if PARTIAL.fullmatch(file.name.rpartition("/")[2])]
    files = [file for file in files if file not in partial]
    broken = tuple(file for file in partial if file.name in old)
    found = [
        Stored("half written", "files whose writers were interrupted", broken),
        *_work(files, old, jobs),
        *_sent(storage, files, old, jobs),
    ]
    return [left for left in found if left.files]


def _work(
    files: Sequence[StoredFile], old: Collection[str], jobs: Collection[RunningJob]
) -> Iterator[Stored]:
    """Work in flight of stages that no job runs, unless something in it is young."""
    for stage in WORK:
        if any(stage in job.command or "repro" in job.command for job in jobs):
            continue
        mine = [file for file in files if file.name.startswith(f"{stage}/")]
        for folder in sorted({"/".join(file.name.split("/")[:2]) for file in mine}):
            inside = tuple(file for file in mine if file.name.startswith(f"{folder}/"))
            names = {file.name for file in inside}
            if names <= {*old} and f"{folder}/{WHOLE}" not in names:
                yield Stored(folder, f"work in flight of {stage}, which would be done again", inside)


def _sent(
    storage: Storage, files: Sequence[StoredFile], old: Collection[str], jobs: Collection[RunningJob]
) -> list[Stored]:
    """Lists that neither a result nor a job needs, and files that no other list names."""
    lists = [file for file in files if file.name.startswith("trees/")]
    needed = {name for job in jobs for name in LIST.findall(job.command)}
    needed |= {file.name for file in lists if file.name not in old}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [file.name for file in files if file.name.startswith("results/")]
        needed |= {name.decode() for name in pool.map(storage.read, results)}
        kept = [file.name for file in lists if file.name in needed]
        named = set().union(*pool.map(lambda name: _named(storage, name), kept))
    sent = [file for file in files if file.name.startswith("files/") and file.name in old]
    return [
        Stored("trees", "lists of what was sent to jobs that have ended", _without(lists, needed)),
        Stored(
            "files", "what was sent to jobs that have ended, which would be sent again", _without(sent, named)
        ),
    ]


def _named(storage: Storage, name: str) -> set[str]:
    """The files that a list names, and the parts that manifests among them name."""
    tree = Tree.read(storage, name)
    named = {f"files/{file.sha256}" for file in tree.files.values()}
    for path, file in tree.files.items():
        if path.rpartition("/")[2] == MANIFEST:
            parts = json.loads(storage.read(f"files/{file.sha256}"))["files"]
            named |= {f"files/{part['sha256']}" for part in parts}
    return named


def _without(files: Sequence[StoredFile], names: Collection[str]) -> tuple[StoredFile, ...]:
    return tuple(file for file in files if file.name not in names)
