"""A command as a process group of its own, which is stopped as a whole."""

from __future__ import annotations

__all__ = ["run_group"]

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.interrupts import terminate_like_interrupt

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
    with terminate_like_interrupt():
        child = subprocess.Popen(command, process_group=0, stdin=subprocess.DEVNULL, env=environment)
        try:
            return child.wait()
        finally:
            _stop_group(child)


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
