"""``python -m pipeline clean``: what interrupted runs have left on this machine."""

from __future__ import annotations

__all__ = ["clean", "leftovers"]

import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline import console
from pipeline.paths import LABELS, WORK
from pipeline.trees import home_of_trees

MADE = (LABELS.parent, Path("models"), Path("reports"), Path("mlflow"))  # folders of outputs
PARTIAL = re.compile(r"\..+\.\d+")  # of a file that is being written: a dot, its name, the process
REPLACED = re.compile(r"\..+(\.old\.\d+|\.\w{8})")  # of a folder that is being made or replaced
TEMPORARY = ("ray-*", "styleae-*")  # of local Rays and of jobs' code


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that is left.

    Attributes:
        path: a file or a folder.
        what: why it is there, and what is lost with it.
    """

    path: Path
    what: str

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.lstat().st_size for file in files if not file.is_dir())


def clean(remove: bool) -> None:
    """Show what is left, and remove it if asked; outputs, finished or not, stay.

    Run it when nothing runs in this folder: what runs now looks like what was interrupted.
    """
    found = list(leftovers())
    if not found:
        console.result("nothing is left of interrupted runs")
        return
    rows = [(str(each.path), each.what, f"{each.size / 2**20:,.1f}") for each in found]
    console.table(["left", "what it is", "MiB"], rows)
    if not remove:
        console.result("`python -m pipeline clean --yes` removes it, when nothing runs here")
        return
    for each in found:
        shutil.rmtree(each.path) if each.path.is_dir() else each.path.unlink(missing_ok=True)
    console.result(f"removed {len(found)}")


def leftovers() -> Iterator[Leftover]:
    """Everything that interrupted runs of this folder, and local Rays of this user, have left."""
    for stage in sorted(WORK.glob("[!.]*")):
        yield Leftover(stage, f"work in flight of {stage.name}: it would be done again")
    for folder in MADE:
        for path in sorted(folder.rglob(".*")):
            if PARTIAL.fullmatch(path.name) or (path.is_dir() and REPLACED.fullmatch(path.name)):
                yield Leftover(path, "half written")
    trees = home_of_trees()
    for path in sorted(trees.glob("*/")):
        yield Leftover(path, "the working directory of a job, with its work in flight")
    running = _running()
    for pattern in TEMPORARY:
        for path in sorted(Path(tempfile.gettempdir()).glob(pattern)):
            if path != trees and path.owner() == trees.owner() and str(path) not in running:
                yield Leftover(path, "temporary files of a run that has ended")


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
