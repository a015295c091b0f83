"""A command as a process group of its own, which is stopped as a whole."""

from __future__ import annotations

__all__ = ["run_group"]

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

# How long a stopped run may take to put its house in order, in seconds, before it is asked less kindly.
PATIENCE = ((signal.SIGINT, 30.0), (signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0))


def run_group(command: Sequence[str]) -> int:
    """Run a command as a process group of its own; when this process is interrupted, the group ends first.

    Returns:
        its exit status.

    Raises:
        KeyboardInterrupt: after the group has gone, on Ctrl-C and on SIGTERM.
    """
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    with _terminate_like_interrupt():
        child = subprocess.Popen(command, process_group=0, stdin=subprocess.DEVNULL, env=environment)
        try:
            return child.wait()
        finally:
            _stop_group(child)


@contextlib.contextmanager
def _terminate_like_interrupt() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt inside the block."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _stop_group(child: subprocess.Popen[bytes]) -> None:
    """End a group that still runs, kindly at first; a second Ctrl-C goes to the next step at once."""
    for signum, seconds in PATIENCE:
        if child.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired, KeyboardInterrupt):
            os.killpg(child.pid, signum)
            child.wait(seconds)
    with contextlib.suppress(ProcessLookupError):  # what a dead leader left behind
        os.killpg(child.pid, signal.SIGKILL)
