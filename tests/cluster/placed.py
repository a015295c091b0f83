"""Actors that say where they are, and what Ray has given them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray


class PlacedActor:
    """An actor whose first shard waits until so many actors have one; it writes its name into the folder.

    Arguments:
        meeting: how many.
        device: where it would compute.
    """

    def __init__(self, meeting: int, device: str) -> None:
        self.meeting, self.device = meeting, device

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        context = ray.get_runtime_context()
        folder, ends = Path("meeting"), time.monotonic() + 60
        folder.mkdir(exist_ok=True)
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < self.meeting and time.monotonic() < ends:
            time.sleep(0.05)
        return {
            "process": os.getpid(),
            "device": self.device,
            "node": context.get_node_id(),
            "gpus": context.get_assigned_resources().get("GPU", 0),
            "ids": ray.get_gpu_ids(),
        }
