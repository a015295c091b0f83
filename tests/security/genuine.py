"""The real files that hostile ones are made of: tiny networks, always written as the same bytes.

``torch.save`` names storages by their address; here they are numbered, and everything about a tensor can be
something else than the truth.
"""

from __future__ import annotations

__all__ = [
    "Numbers",
    "Stored",
    "network",
    "nvidia",
    "replaced",
    "rosinality",
    "stored",
    "stream",
    "stream_of",
    "torch_zip",
]

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.generators import StyleGAN2
from tests.foreign import Persistent, dump, nvidia_content, nvidia_generator
from tests.state_dicts import rosinality_state, save

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


@dataclass(frozen=True)
class Numbers:
    """A storage: what it holds, and what is said about it."""

    data: bytes
    numel: int
    kind: str = "FloatStorage"
    key: str = "0"

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (stream(self, [self]),)


@dataclass(frozen=True)
class Stored:
    """A tensor: a storage, and the arguments with which it is rebuilt."""

    storage: Any
    arguments: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, (self.storage, *self.arguments)


def stored(tensor: Tensor, key: str = "0") -> Stored:
    """A tensor as it is."""
    numbers = Numbers(tensor.detach().contiguous().numpy().tobytes(), tensor.numel(), key=key)
    window = (0, tuple(tensor.shape), tensor.contiguous().stride(), False, OrderedDict())
    return Stored(numbers, window)


class _StreamPickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> Any:
        if isinstance(obj, Numbers):
            return "storage", getattr(torch, obj.kind), obj.key, "cpu", obj.numel, None
        return None


def stream(content: object, storages: list[Numbers], /, **changes: Any) -> bytes:
    """A ``torch.save`` stream; ``changes`` replace its ``magic``, ``version``, ``system`` or ``keys``."""
    parts = {"magic": MAGIC, "version": 1001, "system": SYSTEM, "content": content}
    parts |= {"keys": [storage.key for storage in storages]} | changes
    file = io.BytesIO()
    for part in parts.values():
        _StreamPickler(file, protocol=2).dump(part)
    for storage in storages:
        file.write(struct.pack("<q", min(storage.numel, 2**62)) + storage.data)
    return file.getvalue()


def network(change: Callable[[str, Stored], Any] = lambda name, tensor: tensor) -> Persistent:
    """A generator of 8×8 pixels; ``change`` replaces tensors by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = StyleGAN2(z_dim=4, w_dim=4, num_layers=1, img_resolution=8, channels={4: 2, 8: 2})
    root = nvidia_generator(generator)
    waiting = [("", root)]
    while waiting:
        path, module = waiting.pop()
        for table in (module.state["_parameters"], module.state["_buffers"]):
            table.update(
                {name: change(f"{path}{name}", stored(t)) for name, t in table.items() if t is not None}
            )
        waiting += [(f"{path}{name}.", child) for name, child in module.state["_modules"].items()]
    return root


def replaced(tensor: Any, name: str = "synthesis.b4.conv1.weight") -> Persistent:
    """The generator with another object for one of its tensors."""
    return network(lambda path, genuine: tensor if path == name else genuine)


def nvidia(root: Persistent | None = None, protocol: int = 4, **more: Any) -> bytes:
    """An NVIDIA pickle of a generator and other things."""
    content = nvidia_content({"G_ema": root or network()})
    content["augment_pipe"] = content["D"] = None
    return dump({**content, **more}, protocol)


def rosinality() -> OrderedDict[str, Tensor]:
    """A state dict of a generator of 8×8 pixels."""
    return rosinality_state((2, 2), style_dim=4, layers=1)


def torch_zip() -> bytes:
    """A zip file of ``torch.save``."""
    return save({"g_ema": rosinality()})


def stream_of(change: Callable[[str, Stored], Any] = lambda name, tensor: tensor) -> bytes:
    """The stream of ``torch.save``; ``change`` replaces tensors by name."""
    tensors = {name: stored(t, str(i)) for i, (name, t) in enumerate(rosinality().items())}
    state = OrderedDict((name, change(name, tensor)) for name, tensor in tensors.items())
    return stream({"g_ema": state}, [t.storage for t in tensors.values()])
