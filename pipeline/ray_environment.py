"""The environment of Ray and of all processes that it starts: what they read before any code of ours runs."""

from __future__ import annotations

__all__ = ["ALLOCATOR", "ALWAYS", "LOCAL", "set_environment"]

import os
from collections.abc import Mapping

from pipeline.console import verbose

# Read when Ray is imported or started, by this process and all that it starts; what the user has set stays.
ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",  # then it counts again for how many workers there is room
}
QUIET = {"RAY_BACKEND_LOG_LEVEL": "fatal"}
# Or else glibc gives the memory of large tensors back at once and takes it anew: a tenth of a batch's time.
KEEP_MEMORY = "glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=8589934592"
ALLOCATOR = {"GLIBC_TUNABLES": f"{KEEP_MEMORY}:glibc.malloc.arena_max=1"}
# Ray knows the first switch from the systems where firewalls ask; here it keeps every port on the loopback
# interface. The others save processes (idle workers, one that waits for a node to end), give actors as much
# of the machine as any other program has, and make the controller of a training look at its worker often.
LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}


def set_environment(defaults: Mapping[str, str]) -> None:
    """Set the variables that are not set yet."""
    for name, value in {**defaults, **({} if verbose() else QUIET)}.items():
        os.environ.setdefault(name, value)
