"""Where stages run and how wide: the ``cluster`` section of the parameters."""

from __future__ import annotations

__all__ = ["Actors", "ClusterParams", "Workers"]

from dataclasses import dataclass, field
from typing import Literal

from pipeline.sections import SectionError, require

Auto = Literal["auto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """Resources of a stage that maps over shards.

    Attributes:
        actors: how many; ``"auto"`` fills the cluster.
        cpus: CPUs of each.
        gpus: GPUs of each, a fraction shares one; ``"auto"`` takes one where there is one.
    """

    actors: int | Auto = "auto"
    cpus: float = 1.0
    gpus: float | Auto = "auto"

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "actors", at_least=1)
        require(self, "cpus", above=0)
        require(self, "gpus", at_least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Resources of the training.

    Attributes:
        workers: how many processes share each batch.
        cpus: CPUs of each.
        gpus: GPUs of each; ``"auto"`` takes one where there is one.
        max_failures: how many lost workers are survived by resuming from the last checkpoint.
    """

    workers: int = 1
    cpus: float = 2.0
    gpus: float | Auto = "auto"
    max_failures: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "workers", at_least=1)
        require(self, "cpus", above=0)
        require(self, "gpus", "max_failures", at_least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterParams:
    """Where stages run and how wide; no stage depends on it, because it never changes a byte.

    Attributes:
        address: ``local`` starts Ray here, ``auto`` finds a running one, ``host:port`` is a head node.
        connect_timeout: seconds until a cluster that does not answer is given up.
        label: actors of the label stage.
        pullback: actors of the pullback stage.
        evaluate: actors of the evaluate stage.
        train: workers of the train stage.
    """

    address: str = "local"
    connect_timeout: float = 20.0
    label: Actors = field(default_factory=Actors)
    pullback: Actors = field(default_factory=Actors)
    evaluate: Actors = field(default_factory=Actors)
    train: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        """Check the address and the range."""
        require(self, "connect_timeout", above=0)
        host, _, port = self.address.rpartition(":")
        if self.address not in ("local", "auto") and not (host and port.isdigit() and 0 < int(port) < 65536):
            raise SectionError("address", f"expected 'local', 'auto' or 'host:port', got {self.address!r}")
