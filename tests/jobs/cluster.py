"""Nodes of a real Ray cluster on the loopback interface, to be started and to be killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.cluster.conftest import left_with, processes_with, title_of
from tests.ports import free_port
from tests.tiny import ROOT

# `python` on the nodes is the one with the packages, and Ray keeps to the loopback interface.
NODES = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
PYTHON = (sys.executable, "-m")


class Machines:
    """A head and a node that shares no folder with it, each with a folder of its own for temporary files.

    Arguments:
        folder: of a short name, since those of sockets may not be long.
        environment: of all nodes, with the token.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.gcs, self.dashboard = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.dashboard}"
        self._stack = ExitStack()

    def __enter__(self) -> Machines:
        """Nothing runs yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """End all nodes at once, for Ray takes half a minute, and see that no job's process is left."""
        for node in ("worker", "head"):
            self._end(self._processes(node))
        token = self.environment["RAY_AUTH_TOKEN"]
        # The names that Ray gives its processes may lie over the folder in their environment.
        self._end([pid for pid in processes_with(token) if title_of(pid).startswith("ray::")])
        self._stack.close()
        assert left_with(token) == []

    def start_head(self) -> None:
        """Start the head, with one CPU."""
        options = {
            "node-ip-address": "127.0.0.1",
            "port": self.gcs,
            "num-cpus": 1,
            "object-store-memory": 100 * 2**20,
            "temp-dir": self.folder / "ray",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": self.dashboard,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
        }
        words = [f"--{option}={value}" for option, value in options.items()]
        self._start("head", 1, *PYTHON, "ray.scripts.scripts", "start", "--head", "--block", *words)

    def start_worker(self, disk: str = "") -> None:
        """Start the second node, with one CPU; ``disk`` is the size of one for its temporary files."""
        own = f"mount -t tmpfs none {self.folder}/ray"
        if disk:
            own += f" && mount -t tmpfs -o size={disk} none {self.folder}/worker"
        alone = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f'{own} && exec "$@"', "sh")
        join = ("tests.jobs.join", f"127.0.0.1:{self.gcs}", str(free_port()))
        self._start("worker", 2, *alone, *PYTHON, *join)

    def kill(self, node: str, title: str = "") -> None:
        """Kill the processes of a node, or those of them whose title holds a text, and wait for their end."""
        found = self._processes(node, title)
        assert found, f"no {title or 'process'} on {node}"
        self._end(found)

    def lose_worker(self) -> None:
        """Kill the second node, and wait until the head knows that it is gone."""
        self.kill("worker")
        while self.alive() > 1:
            time.sleep(0.5)

    def alive(self) -> int:
        """How many nodes the cluster knows as alive."""
        url, token = f"{self.address}/nodes?view=summary", self.environment["RAY_AUTH_TOKEN"]
        return (answer(url, token) or b"").count(b'"ALIVE"')

    def _processes(self, node: str, title: str = "") -> list[int]:
        return [pid for pid in processes_with(f"TMPDIR={self.folder / node}") if title in title_of(pid)]

    def _end(self, processes: list[int]) -> None:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while any(title_of(pid) for pid in processes):
            time.sleep(0.05)

    def _start(self, name: str, nodes: int, *command: str) -> None:
        """Start a node, again if it gave up: a busy machine needs longer than Ray waits for its parts."""
        (self.folder / name).mkdir(exist_ok=True)
        log = self._stack.enter_context(open(self.folder / f"{name}.log", "ab"))
        variables = {**os.environ, **self.environment, **NODES, "TMPDIR": str(self.folder / name)}
        options = {"env": variables, "cwd": ROOT, "stdin": subprocess.PIPE, "stdout": log, "stderr": log}
        for _ in range(3):
            process = self._stack.enter_context(stopped([*command], **options))
            while process.poll() is None:
                if self.alive() >= nodes:
                    return
                time.sleep(0.5)
        raise AssertionError((self.folder / f"{name}.log").read_text())


def answer(url: str, token: str = "") -> bytes | None:
    """What a server says, or nothing when it does not."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as said:
            return said.read()
    except OSError:
        return None


@contextmanager
def stopped(command: list[str], **options) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end after the block, and waited for."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
