"""One local Ray for all tests of this folder, as in a ``make repro``: the first stage starts it."""

from __future__ import annotations

import os
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from pipeline.local_head import VARIABLE, shared_local


def pytest_collection_modifyitems(items):
    """Processes start here: give them time on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def ray_head():
    """A shared Ray; after the tests nothing of it is left, unless it was there before."""
    if VARIABLE in os.environ:
        yield
        return
    resource_tracker.ensure_running()  # Python's own, which stays to the end: begun before there is a secret
    with shared_local():
        folder = Path(os.environ[VARIABLE])
        yield
        secret = os.environ["RAY_AUTH_TOKEN"]
    assert not folder.exists()
    assert left_with(secret) == []


@pytest.fixture
def project(tmp_path, monkeypatch, ray_head):
    """An empty folder as the working directory, for stages that share the local Ray."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def processes_with(secret: str) -> list[int]:
    """Other processes whose environment holds a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if secret.encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # gone, or another user's
                continue
    return found


def left_with(secret: str, seconds: float = 60) -> list[int]:
    """Those that do not end within a while: what ends with another process takes a moment."""
    ends = time.monotonic() + seconds
    while (left := processes_with(secret)) and time.monotonic() < ends:
        time.sleep(0.2)
    return left


@pytest.fixture
def find_process(ray_head):
    """Finds the processes of the shared Ray whose title holds a text."""

    def find(title: str) -> list[int]:
        return [pid for pid in processes_with(os.environ["RAY_AUTH_TOKEN"]) if title in title_of(pid)]

    return find


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""
