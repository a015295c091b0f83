"""A process that hangs is ended; one that works, or has ended, is let alone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

SECONDS = 2.0
WORKING = f"""
import time
from pipeline.watchdog import end_if_hanging
end_if_hanging({SECONDS})
ends = time.monotonic() + float(input())
while time.monotonic() < ends:
    sum(range(1000))
"""


def working(seconds: float) -> subprocess.Popen[str]:
    """A process under watch that keeps busy for so long, begun when this returns."""
    pipes = {"stdin": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", WORKING], **pipes)
    assert process.stdin is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return process


def watch_of(process: subprocess.Popen[str]) -> int:
    """The process that watches it, when it has begun to."""
    while True:
        assert process.poll() is None
        if children := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            return int(children[0])


def test_a_process_that_hangs_is_killed():
    with working(600) as process:
        watch = watch_of(process)
        process.send_signal(signal.SIGSTOP)
        assert process.wait(60) == -signal.SIGKILL
    ended(watch)


def test_a_busy_process_is_let_alone_and_its_watch_ends_with_it():
    with working(3 * SECONDS) as process:
        watch = watch_of(process)
        assert process.wait(60) == 0
    ended(watch)


def ended(pid: int) -> None:
    """Wait until a process is gone."""
    while Path(f"/proc/{pid}/stat").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        pass
