"""Nodes that join the shared Ray of the tests, and are lost as machines are: all at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.ray_environment import ALWAYS, LOCAL
from tests.ports import free_port
from tests.tiny import ROOT, stage_environment

ADDRESS = "from pipeline.local_head import shared_address; print(shared_address())"


class JoinedNode:
    """A node; GPUs are counters for Ray's scheduler.

    Arguments:
        cpus: of the node.
        gpus: of the node.
    """

    def __init__(self, cpus: float, gpus: int = 0) -> None:
        options = {"cwd": ROOT, "env": stage_environment(**ALWAYS, **LOCAL), "text": True}
        address = subprocess.check_output([sys.executable, "-c", ADDRESS], **options).strip()
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.jobs.join"),
                *(address, str(free_port()), str(cpus), str(gpus)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **options,
        )
        self.id = self.process.stdout.readline().strip()

    def lose(self) -> None:
        """Kill it; what runs there ends with it."""
        for pid in children_of(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@contextmanager
def joined(cpus: float, gpus: int = 0) -> Iterator[JoinedNode]:
    """A node, for the length of the block at most."""
    node = JoinedNode(cpus, gpus)
    try:
        yield node
    finally:
        node.process.communicate()


def children_of(pid: int) -> list[int]:
    """The processes that a process has started itself."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
