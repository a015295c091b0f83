"""The part of a job that runs on the cluster: fetch the files, run the stage, send back what it has made.

``python -m pipeline.jobs.running TREE JOB STAGE [ARGUMENT …]`` is the job's command.
"""

from __future__ import annotations

__all__ = ["COMMAND", "bring_home", "is_done"]

import importlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.console import run_command
from pipeline.data import part_bytes
from pipeline.errors import PipelineError
from pipeline.manifest import MANIFEST, FileEntry, Manifest, read_manifest
from pipeline.placement import STAGES
from pipeline.scratch import JOB_VARIABLE
from pipeline.storage import AT_ONCE, Storage, has_uri
from pipeline.trees import TREE_VARIABLE, Tree, enter
from pipeline.weights import write_atomic

COMMAND = ("python", "-m", "pipeline.jobs.running")


def main(tree: str, job: str, stage: str, *arguments: str) -> int:
    """Run a stage in a tree; its exit status."""
    os.environ |= {TREE_VARIABLE: tree, JOB_VARIABLE: job}
    if status := run_command(lambda: enter(tree))():
        return status
    module = importlib.import_module(f"stages.{stage}")
    return module.main(*arguments) or run_command(lambda: _send_back(job, stage, arguments))()


def is_done(storage: Storage, job: str) -> bool:
    """Whether a job has sent back what it made."""
    return storage.has(_results(job))


def bring_home(storage: Storage, job: str, made: Path, target: Path, most: int) -> None:
    """Fetch what a job has made.

    Arguments:
        storage: where it is.
        job: its id.
        made: the folder that it made, in its own working directory.
        target: a folder for the files.
        most: the largest size in bytes of data whose parts are fetched, too; of larger data the manifest is,
            which says where they are.

    Raises:
        PipelineError: when a file is not what its digest says.
    """
    tree = Tree.read(storage, storage.read(_results(job)).decode())
    inside = Path(tree.folder) / made
    files = {Path(name).relative_to(inside).as_posix(): file for name, file in tree.files.items()}
    replace(tree, files=files).fetch(storage, target)
    if (target / MANIFEST).is_file():
        _fetch_parts(read_manifest(target), target, most)


def _fetch_parts(manifest: Manifest, target: Path, most: int) -> None:
    """Make a data folder whole, if it is small enough."""
    if sum(file.size or 0 for file in manifest.files) > most:
        _check_there(manifest)
        return

    def fetch(part: FileEntry) -> None:
        write_atomic(target / part.name, part_bytes(target, part))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(fetch, manifest.files))
    manifest.here().save(target)


def _check_there(manifest: Manifest) -> None:
    """See that the parts that stay are in the storage, each with its size."""

    def check(part: FileEntry) -> None:
        if not has_uri(part.uri or "", part.size):
            raise PipelineError(
                f"expected {part.size:,} bytes, got another file or none, in {part.uri}: remove what is left "
                "of it there, and run the same command again"
            )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(check, manifest.files))


def _send_back(job: str, stage: str, arguments: tuple[str, ...]) -> None:
    """Put what a stage has made into the storage, and last the name of its list."""
    storage = Storage(load_params().cluster.storage or "")
    made = Tree.send(storage, [STAGES[stage].makes(*arguments)])
    storage.write(_results(job), made.encode())


def _results(job: str) -> str:
    return f"results/{job}"


if __name__ == "__main__":
    run_and_exit(main, *sys.argv[1:])
