"""``python -m pipeline clean``: what interrupted runs have left here, in the storage and on the cluster."""

from __future__ import annotations

__all__ = ["Leftover", "clean", "here", "there"]

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline import console
from pipeline.config import load_params
from pipeline.jobs.leftovers import Stored, stored_leftovers
from pipeline.jobs.watching import Cluster, RunningJob
from pipeline.paths import LABELS, PARAMS, WORK
from pipeline.resources import ClusterParams
from pipeline.storage import Storage
from pipeline.trees import home_of_trees
from pipeline.weights import PARTIAL

MADE = (LABELS.parent, Path("models"), Path("reports"), Path("mlflow"))  # folders of outputs
REPLACED = re.compile(r"\..+(\.old\.\d+|\.\w{8})")  # of a folder that is being made or replaced
TEMPORARY = ("ray-*", "styleae-*")  # of local Rays and of jobs' code
JOB = "styleae-"  # begins the id of every job of this project, from whatever folder


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that is left.

    Attributes:
        name: a path here or in the storage, or a job.
        what: why it is there, and what is lost with it.
        size: bytes; ``None`` of a job.
        remove: removes it; ``None`` when that is for somebody else to decide.
    """

    name: str
    what: str
    size: int | None
    remove: Callable[[], None] | None


def clean(remove: bool, hours: float) -> None:
    """Show what is left, and remove it if asked; outputs, finished or not, stay.

    Run it when nothing runs in this folder: what runs now looks like what was interrupted.

    Arguments:
        remove: whether to remove it, and to stop the jobs that this folder has submitted.
        hours: see :func:`there`.

    Raises:
        PipelineError: when the cluster or the storage does not answer.
    """
    found = [*here(), *(there(load_params().cluster, hours) if PARAMS.is_file() else ())]
    if not found:
        console.result("nothing is left of interrupted runs")
        return
    for each in found:
        size = "" if each.size is None else f" ({each.size / 2**20:,.1f} MiB)"
        console.result(f"{each.name}: {each.what}{size}")
    removals = [each.remove for each in found if each.remove]
    if not remove:
        if removals:
            console.result("`python -m pipeline clean --yes` removes it, when nothing runs here")
        return
    for removal in removals:
        removal()
    console.result(f"removed {len(removals)}")


def here() -> Iterator[Leftover]:
    """Everything that interrupted runs of this folder, and local Rays of this user, have left."""
    for stage in sorted(WORK.glob("[!.]*")):
        yield _at(stage, f"work in flight of {stage.name}: it would be done again")
    for folder in MADE:
        for path in sorted(folder.rglob(".*")):
            if PARTIAL.fullmatch(path.name) or (path.is_dir() and REPLACED.fullmatch(path.name)):
                yield _at(path, "half written")
    trees = home_of_trees()
    for path in sorted(trees.glob("*/")):
        yield _at(path, "the working directory of a job, with its work in flight")
    running = _running()
    for pattern in TEMPORARY:
        for path in sorted(Path(tempfile.gettempdir()).glob(pattern)):
            if path != trees and path.owner() == trees.owner() and str(path) not in running:
                yield _at(path, "temporary files of a run that has ended")


def there(params: ClusterParams, hours: float) -> list[Leftover]:
    """What interrupted runs have left on the cluster and in the storage.

    Arguments:
        params: the section ``cluster``.
        hours: what was written into the storage since then is not left, because others may share it.
    """
    cluster = Cluster(params.address, params.connect_timeout) if params.submits else None
    jobs = cluster.running() if cluster else []
    found = [_job(cluster, job) for job in jobs if cluster and job.name.startswith(JOB)]
    if params.storage:
        storage = Storage(params.storage)
        found += [_stored(storage, left) for left in stored_leftovers(storage, jobs, hours)]
    return found


def _at(path: Path, what: str) -> Leftover:
    files = [path] if path.is_file() else path.rglob("*")
    size = sum(file.lstat().st_size for file in files if not file.is_dir())

    def remove() -> None:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return Leftover(str(path), what, size, remove)


def _job(cluster: Cluster, job: RunningJob) -> Leftover:
    if job.ours:
        return Leftover(
            job.name, "a job that runs, sent from this folder", None, partial(cluster.stop, job.name)
        )
    what = "a job that runs, sent from elsewhere: stays, unless you stop it with `ray job stop`"
    return Leftover(job.name, what, None, None)


def _stored(storage: Storage, left: Stored) -> Leftover:
    return Leftover(left.name, f"in the storage: {left.what}", left.size, partial(storage.remove, left.files))


def _running() -> str:
    """The command lines and environments of all processes, in which those that use a folder name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found.append((process / name).read_bytes().decode(errors="replace"))
            except OSError:  # gone, or another user's
                continue
    return "\0".join(found)
