"""StyleGAN2 checkpoints of other projects, read without running anything that is in them.

Such files are pickles, and a pickle is a program that can do whatever its reader can.
:func:`read_checkpoint` reads the two kinds that StyleGAN2 generators come in, the pickles of NVIDIA's
repositories and the ``torch.save`` files of rosinality's, as data: see :mod:`pipeline.checkpoints.pickles`
for how. What comes out is the configuration and the tensors of
:class:`~pipeline.generators.stylegan2.StyleGAN2`, which fit each other.
"""

from __future__ import annotations

__all__ = ["Checkpoint", "read_checkpoint"]

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.checkpoints.fitting import Network, fitting_generator
from pipeline.checkpoints.nvidia import read_nvidia
from pipeline.checkpoints.pickles import PROTO, read_pickle
from pipeline.checkpoints.rosinality import read_rosinality
from pipeline.checkpoints.storages import MAGIC, read_stream
from pipeline.checkpoints.values import Budget
from pipeline.checkpoints.zips import SIGNATURE, read_zip
from pipeline.errors import PipelineError

PAYLOAD = 4  # times the size of the file: half precision is stored, copied and widened to float32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A generator out of a foreign file.

    Attributes:
        config: what :meth:`StyleGAN2.config` returns, plain JSON.
        tensors: every tensor of the generator under its official name, float32 and contiguous.
        source: where it comes from: the file's format, the network's name and class in it, the number of
            tensors there, the digest of source code that the file carries, …; plain JSON.
    """

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    source: dict[str, Any]


def read_checkpoint(path: str | Path, network: str = "G_ema") -> Checkpoint:
    """Read a StyleGAN2 generator from an NVIDIA pickle or a rosinality checkpoint.

    Arguments:
        path: the file, whatever its name ends with.
        network: which generator in it, ``G_ema`` (the moving average that papers show) or ``G``.

    Raises:
        PipelineError: when the file is missing, damaged, something else, hostile, or holds a network that
            StyleGAN2 cannot compute.
    """
    try:
        found = _read(_mapped(Path(path)), network)
        generator = fitting_generator(found.tensors, found.arguments)
    except PipelineError as error:
        raise PipelineError(f"cannot read the checkpoint {path}: {error}") from error
    return Checkpoint(generator.config(), found.tensors, found.source)


def _mapped(path: Path) -> memoryview:
    """The bytes of a file, which stay on the disk until they are looked at."""
    if not path.is_file():
        raise PipelineError("expected a file, got none: check the path")
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # the latter for an empty file
        raise PipelineError(f"expected a readable file with something in it, got {error}") from error


def _read(data: memoryview, network: str) -> Network:
    """Recognise the format by the first bytes, and read it."""
    budget = Budget(payload=PAYLOAD * len(data))
    if bytes(data[:4]) == SIGNATURE:
        return read_rosinality(*read_zip(data, budget), network, budget)
    if data[0] != PROTO:
        raise PipelineError(
            f"expected a pickle or a file of torch.save, got one that begins with {bytes(data[:4])!r}: "
            "give an NVIDIA .pkl or a rosinality .pt"
        )
    first = read_pickle(data, 0, budget)
    if first.value == MAGIC:
        return read_rosinality(*read_stream(data, budget), network, budget)
    return read_nvidia(first.alone_in(data), network, budget)
