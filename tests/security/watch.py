"""Reads checkpoints and reports what happened: ``python -m tests.security.watch FOLDER`` prints JSON.

An audit hook sees whatever the interpreter opens, imports, compiles, runs or starts; it cannot be removed, so
this needs a process of its own.
"""

from __future__ import annotations

__all__ = ["Report", "Watcher", "read", "resident", "watch"]

import gc
import json
import resource
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.checkpoints import read_checkpoint
from pipeline.errors import PipelineError

HARMLESS = {"mmap.__new__", "builtins.id", "object.__getattr__", "sys._getframe"}


@dataclass
class Report:
    """What reading one file did.

    Attributes:
        outcome: ``refused``, ``read``, or the type of an exception that nobody wants.
        message: of the exception.
        shapes: of the tensors that were read.
        seconds: of this process's time.
        python_bytes: the most that Python's objects took.
        resident_bytes: by how much the process grew.
        events: what the interpreter was told to do, besides opening the file itself.
    """

    outcome: str = "read"
    message: str = ""
    shapes: dict[str, list[int]] = field(default_factory=dict)
    seconds: float = 0.0
    python_bytes: int = 0
    resident_bytes: int = 0
    events: list[str] = field(default_factory=list)


class Watcher:
    """Collects audit events while it is told to."""

    def __init__(self) -> None:
        self.path, self.events = "", list[str]()
        sys.addaudithook(self)

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if self.path and event not in HARMLESS and not (event == "open" and args[0] == self.path):
            self.events.append(f"{event} {str(args)[:200]}")


def watch(path: Path, watcher: Watcher) -> Report:
    """Read a file twice, for its effects and time, and for its memory."""
    gc.collect()
    before = resident()
    report = read(path, watcher)
    report.resident_bytes = resident() - before
    tracemalloc.start()
    read(path)
    report.python_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return report


def read(path: Path, watcher: Watcher | None = None) -> Report:
    """Read a file, whatever comes of it."""
    report, started = Report(), time.process_time()
    if watcher:
        watcher.path, watcher.events = str(path), report.events
    try:
        report.shapes = {name: list(tensor.shape) for name, tensor in read_checkpoint(path).tensors.items()}
    except PipelineError as error:
        report.outcome, report.message = "refused", str(error)
    except BaseException as error:
        report.outcome, report.message = type(error).__name__, str(error)[:500]
    if watcher:
        watcher.path = ""
    report.seconds = time.process_time() - started
    return report


def resident() -> int:
    """The largest size that this process ever had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(folder: Path) -> None:
    """Report on every file of a folder, in the order of their names."""
    watcher = Watcher()
    paths = sorted(folder.iterdir())
    for path in paths:
        if path.name.endswith("genuine"):
            read(path)  # what PyTorch imports when it is used first is not the file's doing
    gc.freeze()  # otherwise each collection goes through all of PyTorch
    json.dump([asdict(watch(path, watcher)) for path in paths], sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
