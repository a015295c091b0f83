"""One local Ray for all stages of a ``make repro``: the first that needs it starts it, the run stops it.

The run (:func:`shared_local`) makes a folder, holds a lock in it and names it in ``PIPELINE_RAY_ADDRESS``.
The first stage that asks for the address starts the head as a process of its own, in a session that a Ctrl-C
does not reach before the stages are done with it, and in the run's own folder: a stage's may be one that DVC
made for an experiment, and gone when the next stage needs new processes. The head ends when the lock is free,
which the kernel sees to even when the run is killed.
"""

from __future__ import annotations

__all__ = ["local_token", "run_and_exit", "shared_address", "shared_local"]

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from pipeline.errors import PipelineError

VARIABLE = "PIPELINE_RAY_ADDRESS"
ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 120.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1


@contextlib.contextmanager
def shared_local() -> Iterator[None]:
    """Let every local stage that runs inside the block share one Ray; costs nothing when none does."""
    folder = Path(tempfile.mkdtemp(prefix="styleae-"))
    before = dict(os.environ)
    with open(folder / "owner", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(ROOT))
        lock.flush()
        os.environ |= {VARIABLE: str(folder), **local_token()}
        try:
            yield
        finally:
            os.environ.clear()
            os.environ |= before
            _stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def local_token() -> dict[str, str]:
    """Environment that keeps other users of this machine out of a local Ray: a secret of this run."""
    token = os.environ.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def shared_address() -> str | None:
    """The address of the Ray that is shared, started now if it is not running; ``None`` when none is shared.

    Raises:
        PipelineError: when it does not start.
    """
    place = os.environ.get(VARIABLE)
    if not place or ":" in place:
        return place or None
    folder = Path(place)
    if not folder.is_dir():
        return None
    with open(folder / "start", "w") as lock:  # stages may run at the same time
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "address").exists() or not _alive(_pid(folder)):
            _start(folder)
    return (folder / "address").read_text()


def run_and_exit(main: Callable[..., int], *arguments: str) -> NoReturn:
    """Run a stage and end the process with its status, without the destructors of Ray's native library.

    A thread of that library may still answer a request when they run, and they wait for it for ever (seen
    with Ray 2.60). Everything of ours is closed by then.
    """
    try:
        status = main(*arguments)
    except Exception:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _start(folder: Path) -> None:
    """Start the head, or wait for one that is starting already."""
    if not _alive(_pid(folder)):
        (folder / "address").unlink(missing_ok=True)
        with open(folder / "log", "ab") as log:
            head = subprocess.Popen(
                [sys.executable, "-m", "pipeline.local_head", str(folder)],
                cwd=(folder / "owner").read_text(),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        (folder / "pid").write_text(str(head.pid))
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "address").exists():
        if not _alive(_pid(folder)) or time.monotonic() > deadline:
            said = (folder / "log").read_text(errors="replace").strip().splitlines() or ["nothing"]
            raise PipelineError(f"expected a local Ray, got {said[-1]!r} from its start: run again with -v")
        time.sleep(POLL_SECONDS)


def _pid(folder: Path) -> int | None:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int((folder / "pid").read_text())
    return None


def _alive(pid: int | None) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    if pid is None:
        return False
    with contextlib.suppress(ChildProcessError):  # this process may be the one to wait for it
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # no /proc on this system
        return True


def _stop(folder: Path) -> None:
    """End the head and wait until it and all of its processes have gone."""
    pid = _pid(folder)
    if pid is None or not _alive(pid):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        os.killpg(pid, signal.SIGKILL)


def _serve(place: str) -> int:
    """Hold a local Ray until the run that owns the folder has ended, or until SIGTERM."""
    folder = Path(place)
    from pipeline.cluster import start_local

    ended = threading.Event()
    threading.Thread(target=_watch, args=(folder / "owner", ended), daemon=True).start()
    with start_local() as address:
        signal.signal(signal.SIGTERM, lambda signum, frame: ended.set())
        (folder / "new").write_text(address)
        os.replace(folder / "new", folder / "address")
        ended.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def _watch(owner: Path, ended: threading.Event) -> None:
    """Set ``ended`` when nobody holds the lock any more."""
    with contextlib.suppress(OSError), open(owner) as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    ended.set()


if __name__ == "__main__":
    os.environ.pop(VARIABLE, None)
    run_and_exit(_serve, sys.argv[1])
