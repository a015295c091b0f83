"""How the ranks of a training find each other. Import it when Ray is connected.

Torch's own way opens a port on all interfaces of rank 0's machine, even for one rank. Here one rank meets
nobody, and those of a local Ray meet in a file and talk on the loopback interface. On a cluster it is torch's
way: there the ranks are on several machines, inside of the cluster's own network.
"""

from __future__ import annotations

__all__ = ["Meeting"]

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch.distributed as dist
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend


@dataclass
class Meeting(TorchConfig):
    """Where they meet.

    Attributes:
        folder: of this machine, when all ranks are on it; ``None`` on a cluster.
    """

    folder: Path | None = None

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What starts and ends the group of ranks."""
        return _Group


class _Group(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:  # noqa: ANN401
        """Make one group of several ranks."""
        ranks = len(worker_group)
        if ranks == 1:
            return
        if backend_config.folder is None:
            super().on_start(worker_group, backend_config)
            return
        backend = "nccl" if worker_group.get_resources_per_worker().get("GPU") else "gloo"
        backend_config.folder.mkdir(parents=True, exist_ok=True)
        file = (backend_config.folder / secrets.token_hex(8)).as_uri()
        ray.get([worker_group.execute_single_async(n, _meet, backend, file, n, ranks) for n in range(ranks)])


def _meet(backend: str, file: str, rank: int, ranks: int) -> None:
    """Join the others of this machine."""
    for library in ("GLOO", "NCCL"):
        os.environ[f"{library}_SOCKET_IFNAME"] = _loopback()
    dist.init_process_group(backend, init_method=file, rank=rank, world_size=ranks)


def _loopback() -> str:
    """The name of the loopback interface: ``lo``, or ``lo0``."""
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
