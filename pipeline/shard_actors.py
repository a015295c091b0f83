"""What runs in the actors of a stage: one class for all stages, around what a stage does with a shard."""

from __future__ import annotations

__all__ = ["Mapper", "Shard", "ShardActor"]

import pickle
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from pipeline.errors import PipelineError
from pipeline.trees import enter
from pipeline.watchdog import end_if_hanging

NO_MEMORY = ("can't allocate memory", "out of memory")  # what torch says of a CPU's and of a GPU's

Shard = Mapping[str, Any]


class ShardActor(Protocol):
    """What :func:`pipeline.cluster.map_shards` makes in each actor process: its networks are loaded once.

    A class with an attribute ``at_once`` gets that many shards at once, each in a thread of its own.
    """

    def __call__(self, shard: Shard) -> Mapping[str, Any]:
        """The result of one shard."""


class Mapper:
    """An actor of Ray Data: one row holds one shard, pickled, so that arrays of any shape pass unchanged.

    An error that users can mend is a result, too: Ray would bury it under its own, or try again.

    Arguments:
        folder: the project's, as the driver sees it.
        hang_seconds: after so long without a sign of life the process is killed; Ray starts another.
        actor_class: a :class:`ShardActor`.
        kwargs: of the class.
    """

    def __init__(
        self, folder: str, hang_seconds: float, actor_class: type, kwargs: Mapping[str, Any]
    ) -> None:
        import torch

        end_if_hanging(hang_seconds)
        torch.set_num_threads(1)
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        self.actor: ShardActor | Exception
        try:
            enter(folder)
            self.actor = actor_class(**kwargs)
        except (PipelineError, OSError, RuntimeError, MemoryError) as error:
            self.actor = _mendable(error)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a shard's result."""
        return {"index": batch["index"], "result": [pickle.dumps(self._result(batch["shard"][0]))]}

    def _result(self, shard: bytes) -> dict[str, Any] | Exception:
        import torch

        torch.set_num_threads(1)  # of this thread, which need not be the one that made the actor
        if isinstance(self.actor, Exception):
            return self.actor
        try:
            return dict(self.actor(pickle.loads(shard)))
        except (PipelineError, OSError, RuntimeError, MemoryError) as error:
            return _mendable(error)


def _mendable(error: Exception) -> Exception:
    """What the driver raises: for a lack of memory or disk the words that say on which machine.

    Raises:
        RuntimeError: the error itself, when it is none that users can mend.
    """
    machine, text = socket.gethostname(), str(error)
    if isinstance(error, OSError) and error.filename:
        error.filename = f"{error.filename} on {machine}"
    if isinstance(error, MemoryError) or any(words in text for words in NO_MEMORY):
        said = " ".join(text.split())[:200] or "none left"
        return PipelineError(
            f"expected memory for a batch, got {said!r}, on {machine}: lower the stage's batch_size, or let "
            "fewer actors share a machine or a GPU"
        )
    if isinstance(error, RuntimeError):
        raise error
    return error
