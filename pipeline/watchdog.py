"""A process that gives no sign of life is ended, so that whoever waits for it hears of it.

Ray replaces a process that dies. One that hangs, because it was stopped, its machine thrashes or native code
waits for itself while it holds Python's lock, Ray would wait for without end. Native code that waits without
the lock, as a collective operation of NCCL does, is not seen here: NCCL has a time limit of its own.
"""

from __future__ import annotations

__all__ = ["end_if_hanging"]

import os
import subprocess
import sys
import threading
import time

BEATS = 4  # signs of life in the time that is allowed
# Reads the signs of life, and ends with the process. It needs no package and few megabytes.
WATCH = """
import os, select, signal, sys
process, seconds = int(sys.argv[1]), float(sys.argv[2])
while select.select([0], [], [], seconds)[0]:
    if not os.read(0, 4096):
        sys.exit()
os.kill(process, signal.SIGKILL)
"""


def end_if_hanging(seconds: float) -> None:
    """From now on this process is killed when none of its threads runs for so long.

    Arguments:
        seconds: longer than any call that holds Python's lock; a machine's sleep is not counted.
    """
    command = [sys.executable, "-I", "-S", "-c", WATCH, str(os.getpid()), str(seconds)]
    watch = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    threading.Thread(target=_beat, args=(watch, seconds / BEATS), name="watchdog", daemon=True).start()


def _beat(watch: subprocess.Popen[bytes], seconds: float) -> None:
    """A byte every so often, as long as somebody reads it."""
    assert watch.stdin is not None
    try:
        while True:
            watch.stdin.write(b".")
            watch.stdin.flush()
            time.sleep(seconds)
    except OSError:
        watch.wait()
