"""One run at a time: of two runs that would write the same outputs, the second waits for the first."""

from __future__ import annotations

__all__ = ["alone"]

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from pipeline.paths import WORK


@contextmanager
def alone(name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Only one process of this folder is in a block of this name; the lock is gone with its process.

    Arguments:
        name: of the outputs, such as ``"label"`` or ``"train-styleae"``.
        on_wait: called before another process is waited for.
    """
    WORK.mkdir(exist_ok=True)
    lock = FileLock(WORK / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
