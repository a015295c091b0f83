"""Ray: connecting to it quietly, and mapping shards over actors with Ray Data.

Three kinds of address, one code path: ``local`` is a Ray of one's own on the loopback interface, gone when
the stage ends (or the one that all stages of a ``make repro`` share, see :mod:`pipeline.local_head`);
``auto`` finds a running cluster, as inside a Ray job; ``host:port`` is a cluster's head node, whose nodes see
this folder under the same path.
"""

from __future__ import annotations

__all__ = [
    "Fit",
    "Shard",
    "ShardActor",
    "connect",
    "fit",
    "fit_workers",
    "map_shards",
    "run_and_exit",
    "shared_local",
    "start_local",
]

import contextlib
import logging
import os
import pickle
import shutil
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.capacity import Fit, fit, fit_workers
from pipeline.console import verbose, warning
from pipeline.errors import PipelineError
from pipeline.local_head import ROOT, local_token, run_and_exit, shared_address, shared_local
from pipeline.ray_environment import ALLOCATOR, ALWAYS, LOCAL, set_environment
from pipeline.resources import Actors, ClusterParams
from pipeline.shard_actors import Mapper, Shard, ShardActor

if TYPE_CHECKING:
    from ray.data import Dataset

RETRIES = (
    20  # of a shard whose process or machine was lost; one that ends every process must not go on for ever
)
OBJECT_STORE_BYTES = 200 * 2**20  # shards are small: what moves through Ray are results, not images
SOCKET_BASE = 24  # longest folder that leaves room for Ray's names in the 107 characters of a Unix socket


@contextmanager
def connect(params: ClusterParams) -> Iterator[None]:
    """Ray, for the length of the block.

    Raises:
        PipelineError: when a cluster does not answer within ``connect_timeout`` seconds.
    """
    if params.address == "local":
        with _local():
            yield
        return
    set_environment(ALWAYS)
    _check_answers(params.address, params.connect_timeout)
    os.environ.setdefault("RAY_gcs_rpc_server_connect_timeout_s", str(max(1, round(params.connect_timeout))))
    with _session(address=params.address, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), **ALLOCATOR}}):
        yield


@contextmanager
def _local() -> Iterator[None]:
    """The shared local Ray when there is one to share, else one for this block alone."""
    _local_environment()
    if address := shared_address():
        with _session(address=address):
            yield
        return
    with start_local():
        yield


@contextmanager
def start_local() -> Iterator[str]:
    """Start Ray on this machine and stop it after the block; gives its address.

    No process outlives this one, however it ends: the kernel ends Ray's processes with their parent.
    """
    _local_environment()
    base = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="ray-", dir=base if len(base) <= SOCKET_BASE else "/tmp")
    try:
        with _session(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=folder,
        ) as address:
            yield address
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _session(address: str, **options: Any) -> Iterator[str]:  # noqa: ANN401
    """``ray.init`` and its end."""
    import ray

    _set_log_level()
    try:
        context = _init(address, **options)
    except Exception as error:  # Ray raises many classes here, and plain Exception, too
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = "is the machine overloaded? run again" if address == "local" else "start it or use `local`"
        raise PipelineError(
            f"expected a Ray cluster, got {reason!r}, at cluster.address {address}: {advice}"
        ) from error
    try:
        yield context.address_info["gcs_address"]
    finally:
        ray.shutdown()


def _init(address: str, **options: Any) -> Any:  # noqa: ANN401
    """``ray.init``; a Ray that did not start in time, as on a busy machine, gets a second chance."""
    import ray

    options |= {"address": address, "logging_level": _log_level(), "log_to_driver": verbose()}
    with contextlib.nullcontext() if verbose() else _muted():
        if not verbose():
            ray._private.worker.print_to_stdstream = _say_briefly
        try:
            return ray.init(**options)
        except Exception:
            if address != "local":
                raise
            ray.shutdown()
            return ray.init(**options)


def _say_briefly(data: Mapping[str, Any], ignore_prefix: bool) -> None:
    """What Ray tells drivers, of lost nodes above all, in a line: it adds pages of its nodes' state."""
    warning(f"Ray: {' '.join(data['lines'][0].split('. ')[0].split())[:200]}")


def _log_level() -> int:
    return logging.INFO if verbose() else logging.CRITICAL  # what is an error is raised, too


def _set_log_level() -> None:
    """Libraries of Ray set their own level when they are imported: call it after."""
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(_log_level())


@contextmanager
def _muted() -> Iterator[None]:
    """Drop what native code prints on stderr; what goes wrong in ``ray.init`` is raised all the same."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def _local_environment() -> None:
    """What a local Ray, its workers and everything that connects to it must agree on."""
    set_environment(ALWAYS | LOCAL | ALLOCATOR | local_token())
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(ROOT) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), *paths]))


def _check_answers(address: str, timeout: float) -> None:
    """Refuse a ``host:port`` to which no connection opens: Ray itself would try for minutes."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise PipelineError(
            f"expected a Ray cluster, got {reason!r} within {timeout:g} s, at cluster.address {address}: "
            "check the address and `ray status` there, or use `local`"
        ) from None


def map_shards(
    shards: Sequence[Shard],
    actor_class: type,
    actor_kwargs: Mapping[str, Any],
    resources: Actors,
    on_result: Callable[[Mapping[str, Any]], None] = lambda result: None,
) -> list[Mapping[str, Any]]:
    """Results of all shards, in the order of the shards; call it inside :func:`connect`.

    Arguments:
        shards: any picklable mappings; each is the unit of work, of retries and of resume.
        actor_class: a :class:`ShardActor`, of a module that workers can import. Made with ``actor_kwargs``
            and ``device`` (``"cuda"`` or ``"cpu"``). On a CPU it computes in one thread, so that results do
            not depend on how many actors share the machine.
        actor_kwargs: arguments of the class; relative paths mean the same as here.
        resources: how many actors, and what each gets.
        on_result: called here with each result as it comes, in any order.

    Raises:
        PipelineError: the one that an actor raised; ``OSError`` likewise.
    """
    if not shards:
        return []
    import ray.data

    _set_log_level()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = verbose()
    context.max_errored_blocks = 0
    got = fit(len(shards), resources.actors, resources.cpus, resources.gpus)
    rows = ray.data.from_items(
        [{"index": index, "shard": pickle.dumps(dict(shard))} for index, shard in enumerate(shards)],
        override_num_blocks=len(shards),
    )
    kwargs = {**actor_kwargs, "device": got.device}
    dataset = _mapped(rows, got, (os.getcwd(), resources.hang_seconds, actor_class, kwargs))
    results: dict[int, Mapping[str, Any]] = {}
    for row in _rows(dataset):
        result = pickle.loads(row["result"])
        if isinstance(result, Exception):
            raise result
        results[row["index"]] = result
        on_result(result)
    return [results[index] for index in range(len(shards))]


def _mapped(rows: Dataset, got: Fit, arguments: tuple[str, float, type, dict[str, Any]]) -> Dataset:
    """The dataset of results: each row by an actor, which is made with the arguments of :class:`Mapper`."""
    import ray.data
    from ray.util.annotations import RayDeprecationWarning

    at_once = getattr(arguments[2], "at_once", 1)
    with warnings.catch_warnings():  # to limit retries there is no other way yet (Ray 2.60)
        warnings.simplefilter("ignore", RayDeprecationWarning)
        return rows.map_batches(
            Mapper,
            compute=ray.data.ActorPoolStrategy(
                size=got.processes,
                max_tasks_in_flight_per_actor=at_once + 1,  # the next one waits beside the actor
                max_concurrent_calls_per_actor=at_once,
                enable_true_multi_threading=True,
            ),
            batch_size=1,
            num_cpus=got.cpus,
            num_gpus=got.gpus,
            max_task_retries=RETRIES,
            fn_constructor_args=arguments,
        )


def _rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    """The rows as they come.

    When they are wanted no longer, after an error, the execution ends with this iterator. Threads of Ray's
    ``iter_rows`` may go on, and end the process without a word when Ray is shut down (seen with Ray 2.60).
    """
    import ray

    try:
        for bundle in dataset.iter_internal_ref_bundles():
            for block in ray.get([entry.ref for entry in bundle.blocks]):
                yield from block.to_pylist()
    except ray.exceptions.RayError as error:
        reason = " ".join((str(error.__cause__ or "") or str(error)).split())[:300]  # some causes are empty
        raise PipelineError(
            f"expected processes that finish their shards, got {reason!r}: look at memory and at the logs of "
            "Ray, and run the same command again; what was finished is kept"
        ) from error
