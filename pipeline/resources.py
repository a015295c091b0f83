"""Where stages run and how wide: the ``cluster`` section of the parameters."""

from __future__ import annotations

__all__ = ["Actors", "ClusterParams", "RuntimeEnv", "Workers"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from pipeline.errors import PipelineError
from pipeline.sections import SectionError, require
from pipeline.storage import refuse_place

Auto = Literal["auto"]
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """Resources of a stage that maps over shards.

    Attributes:
        actors: how many; ``"auto"`` fills the cluster.
        cpus: CPUs of each.
        gpus: GPUs of each, a fraction shares one; ``"auto"`` takes one where there is one. With GPUs, actors
            are on nodes that have some and on no others, because devices differ in the last bits.
        hang_seconds: an actor that gives no sign of life for so long is killed and replaced.
    """

    actors: int | Auto = "auto"
    cpus: float = 1.0
    gpus: float | Auto = "auto"
    hang_seconds: float = 120.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "actors", at_least=1)
        require(self, "cpus", "hang_seconds", above=0)
        require(self, "gpus", at_least=0)
        _check_gpus(self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Resources of the training.

    Attributes:
        workers: how many processes share each batch: a number; ``"auto"`` for as many as fit when it begins;
            or the least and the most, ``[1, 4]``. Of the last two it goes on with fewer when a node is lost,
            down to one or the least, and with more when one comes, from the last checkpoint each time. (A
            cluster that scales itself is asked for the most.) The losses do not depend on their number but
            for rounding. Closed forms, and editors whose loss needs whole batches, take one worker; closed
            forms no GPU.
        cpus: CPUs of each.
        gpus: GPUs of each; ``"auto"`` takes one where there is one. Several workers take whole ones.
        max_failures: how many lost workers are survived by resuming from the last checkpoint.
        hang_seconds: a worker that gives no sign of life for so long counts as lost.
    """

    workers: int | Auto | tuple[int, ...] = 1
    cpus: float = 2.0
    gpus: float | Auto = "auto"
    max_failures: int = 3
    hang_seconds: float = 120.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "workers", at_least=1)
        require(self, "cpus", "hang_seconds", above=0)
        require(self, "gpus", "max_failures", at_least=0)
        _check_gpus(self.gpus)
        if isinstance(self.workers, tuple):
            least, most = self.workers if len(self.workers) == 2 else (0, 0)
            if not 1 <= least <= most:
                raise SectionError(
                    "workers", f"expected the least and the most, such as [1, 4], got {list(self.workers)}"
                )
        if self.workers != 1 and not isinstance(self.gpus, str) and 0 < self.gpus < 1:
            raise SectionError(
                "gpus", f"expected whole GPUs for several workers, got {self.gpus:g}: NCCL shares none"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEnv:
    """What Ray gives to the processes of a job; it shows all of it to whoever sees the cluster: no secrets.

    Attributes:
        pip: packages to install on the nodes.
        env_vars: environment variables.
        image_uri: a container image to run in.
    """

    pip: tuple[str, ...] = ()
    env_vars: Mapping[str, str] = field(default_factory=dict)
    image_uri: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterParams:
    """Where stages run and how wide; no stage depends on it, because it never changes a byte.

    Attributes:
        address: ``local`` starts Ray here, ``auto`` finds a running one, ``host:port`` is a head node, and
            ``http://host:port`` the dashboard of a cluster to which each heavy stage is sent as a Ray job.
        connect_timeout: seconds until a cluster that does not answer is given up.
        storage: the URI of a place that every node sees, such as ``s3://bucket/prefix`` or
            ``file:///mnt/shared``, for what is in flight and for large results; ``None`` for the project's
            folder, which every node then must see.
        bring_home_mib: results of at most this size become files here; of larger ones the manifest, which
            says where the parts are.
        runtime_env: what a job needs on its nodes beside the code.
        label: actors of the label stage.
        pullback: actors of the pullback stage.
        evaluate: actors of the evaluate stage.
        train: workers of the train stage.
    """

    address: str = "local"
    connect_timeout: float = 20.0
    storage: str | None = None
    bring_home_mib: int = 1024
    runtime_env: RuntimeEnv = field(default_factory=RuntimeEnv)
    label: Actors = field(default_factory=Actors)
    pullback: Actors = field(default_factory=Actors)
    evaluate: Actors = field(default_factory=Actors)
    train: Workers = field(default_factory=Workers)

    def __post_init__(self) -> None:
        """Check the address and the range."""
        require(self, "connect_timeout", above=0)
        require(self, "bring_home_mib", at_least=0)
        host, _, port = self.address.rpartition(":")
        known = self.address in ("local", "auto") or self.submits
        if not known and not (host and port.isdigit() and 0 < int(port) < 65536):
            raise SectionError(
                "address",
                f"expected 'local', 'auto', 'host:port' or 'http://host:port', got {self.address!r}",
            )
        if "@" in self.address:
            raise SectionError("address", "expected no password in it: give RAY_AUTH_TOKEN or its file")
        if self.address.startswith("http://") and urlsplit(self.address).hostname not in LOOPBACK:
            raise SectionError(
                "address",
                f"expected https:// to another machine, got {self.address}: whoever listens on the way could "
                "take the token and run code; use TLS, or a tunnel that ends at 127.0.0.1",
            )
        if self.submits and not self.storage:
            raise SectionError(
                "storage",
                "expected a place that this machine and the cluster see, such as s3://bucket, got none",
            )
        if self.storage:
            _check_storage(self.storage)

    @property
    def submits(self) -> bool:
        """Whether heavy stages are sent away as Ray jobs."""
        return self.address.startswith(("http://", "https://"))


def _check_gpus(gpus: float | Auto) -> None:
    """Refuse what Ray gives to no process."""
    if not isinstance(gpus, str) and gpus > 1 and gpus % 1:
        raise SectionError("gpus", f"expected whole GPUs, or a share of one, got {gpus:g}")


def _check_storage(uri: str) -> None:
    """Refuse what is no URI of a storage."""
    if "://" not in uri:
        raise SectionError(
            "storage", f"expected a URI such as s3://bucket or file:///mnt/shared, got {uri!r}"
        )
    try:
        refuse_place(uri)
    except PipelineError as error:
        raise SectionError("storage", str(error)) from None
