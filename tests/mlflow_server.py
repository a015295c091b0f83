"""A real MLflow server on the loopback interface."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.ports import free_port


@contextlib.contextmanager
def mlflow_server(folder: Path, database: Path | None = None, port: int | None = None) -> Iterator[str]:
    """The address of a server for the length of a block.

    Arguments:
        folder: of its database and artifacts.
        database: to begin with, when the folder has none; ``None`` for an empty one, which takes seconds.
        port: where it listens; ``None`` for any.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if database:
        shutil.copy(database, folder / "mlflow.db")
    address = f"127.0.0.1:{(port := port or free_port())}"
    options = {
        "host": "127.0.0.1",
        "port": port,
        "workers": 1,
        "backend-store-uri": f"sqlite:///{folder}/mlflow.db",
        "artifacts-destination": folder / "files",
    }
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # fewer processes to start
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    try:
        wait_for(f"http://{address}/health", process, folder / "log")
        yield f"http://{address}"
    finally:
        stop(process)


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float = 300) -> None:
    """Until the address answers."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"no answer from {url}: {log.read_text()[-2000:]}")


def stop(process: subprocess.Popen) -> None:
    """Kill a process that has a session of its own, with all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
