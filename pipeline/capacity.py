"""How many processes of a stage a Ray cluster has room for."""

from __future__ import annotations

__all__ = ["Fit", "fit", "fit_workers"]

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.errors import PipelineError
from pipeline.resources import Workers

LEAST_CPUS = 0.25  # of a training worker, when many share a small machine
UNITS = 10_000  # Ray counts resources in these parts of one


@dataclass(frozen=True, slots=True)
class Fit:
    """Resources as this cluster can give them.

    Attributes:
        processes: how many actors or workers; the most where ``enough`` says how few will do.
        cpus: CPUs of each.
        gpus: GPUs of each, 0 for none.
        enough: how many workers will do while there is no room for more; ``None`` for all.
    """

    processes: int
    cpus: float
    gpus: float
    enough: int | None = None

    @property
    def device(self) -> str:
        """Where torch computes: ``"cuda"`` or ``"cpu"``."""
        return "cuda" if self.gpus else "cpu"


def fit(count: int, processes: int | str, cpus: float, gpus: float | str) -> Fit:
    """What is asked for, brought down to what the cluster has, so that nothing waits for ever.

    Arguments:
        count: how many processes can be used at most.
        processes: how many are wanted; ``"auto"`` as many as fit.
        cpus: CPUs of each.
        gpus: GPUs of each; ``"auto"`` one, where there is one.

    Raises:
        PipelineError: when GPUs are asked for that the cluster does not have, or it has no CPUs beside them.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    most_gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    each_gpus = min(1.0, most_gpus) if isinstance(gpus, str) else float(gpus)
    if each_gpus > most_gpus:
        raise PipelineError(
            f"expected {each_gpus:g} GPUs on one node, got {most_gpus:g}, in the Ray cluster: "
            "set gpus to 0 or auto"
        )
    nodes = [node for node in nodes if node.get("GPU", 0.0) >= each_gpus]
    most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    if not most_cpus:
        raise PipelineError(
            f"expected a node with CPUs{' beside its GPUs' if each_gpus else ''}, got none, in the Ray "
            "cluster: start workers, or let their group have at least one"
        )
    each_cpus = min(cpus, most_cpus)
    room = sum(_room(node, each_cpus, each_gpus) for node in nodes)
    wanted = room if isinstance(processes, str) else processes
    return Fit(max(1, min(wanted, room, count)), each_cpus, each_gpus)


def _room(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many processes a node has room for; a share of a GPU is of one GPU, not of two."""
    by_cpus = _units(node.get("CPU", 0.0)) // _units(cpus)
    if not gpus:
        return by_cpus
    whole = int(node.get("GPU", 0.0))
    return min(by_cpus, whole * (UNITS // _units(gpus)) if gpus < 1 else whole // int(gpus))


def _units(amount: float) -> int:
    return max(1, round(amount * UNITS))


def fit_workers(asked: Workers) -> Fit:
    """Room for the workers of a training; on a small machine each gets less CPU than it asks for.

    Raises:
        PipelineError: when the cluster has no room for that many workers, or for the least of a range.
    """
    if isinstance(asked.workers, str):
        return replace(fit(sys.maxsize, "auto", asked.cpus, asked.gpus), enough=1)
    least, most = asked.workers if isinstance(asked.workers, tuple) else (asked.workers, asked.workers)
    cpus = asked.cpus
    while (got := fit(least, least, cpus, asked.gpus)).processes < least:
        cpus /= 2
        if cpus < LEAST_CPUS:
            raise PipelineError(
                f"expected room for {least} workers, got room for {got.processes}, "
                "in the Ray cluster: lower cluster.train.workers or gpus"
            )
    return replace(got, processes=most, enough=least if most > least else None)
