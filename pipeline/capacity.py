"""How many processes of a stage a Ray cluster has room for."""

from __future__ import annotations

__all__ = ["Fit", "fit", "fit_workers"]

from dataclasses import dataclass

from pipeline.errors import PipelineError
from pipeline.resources import Workers

LEAST_CPUS = 0.25  # of a training worker, when many share a small machine


@dataclass(frozen=True, slots=True)
class Fit:
    """Resources as this cluster can give them.

    Attributes:
        processes: how many actors or workers.
        cpus: CPUs of each.
        gpus: GPUs of each, 0 for none.
    """

    processes: int
    cpus: float
    gpus: float

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
        PipelineError: when GPUs are asked for that the cluster does not have, or it has no CPUs.
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
    most_cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    if not most_cpus:
        raise PipelineError(
            "expected a node with CPUs, got none, in the Ray cluster: start workers, or let their group have "
            "at least one"
        )
    each_cpus = min(cpus, most_cpus)
    room = sum(
        min(
            int(node.get("CPU", 0.0) / each_cpus),
            int(node.get("GPU", 0.0) / each_gpus) if each_gpus else 10**9,
        )
        for node in nodes
    )
    wanted = room if isinstance(processes, str) else processes
    return Fit(max(1, min(wanted, room, count)), each_cpus, each_gpus)


def fit_workers(asked: Workers) -> Fit:
    """Room for all workers of a training at once; on a small machine each gets less CPU than it asks for.

    Raises:
        PipelineError: when the cluster has no room for that many workers.
    """
    cpus = asked.cpus
    while (got := fit(asked.workers, asked.workers, cpus, asked.gpus)).processes < asked.workers:
        cpus /= 2
        if cpus < LEAST_CPUS:
            raise PipelineError(
                f"expected room for {asked.workers} workers, got room for {got.processes}, "
                "in the Ray cluster: lower cluster.train.workers or gpus"
            )
    return got
