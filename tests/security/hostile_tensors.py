"""Networks whose tensors or storages are not what they say."""

from __future__ import annotations

__all__ = ["hostile_tensors"]

import _codecs
import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from tests.security.genuine import (
    Numbers,
    Stored,
    network,
    nvidia,
    replaced,
    stored,
    stream,
    stream_of,
)
from tests.security.opcodes import END, PROTO, called

GENUINE = stored(torch.ones(2, 2, 3, 3))  # as synthesis.b4.conv1.weight is


class System:
    """What runs a command in a careless reader."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch /tmp/executed",)


class Rebuilt:
    """A call of any function that can be pickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def windows() -> Iterator[tuple[str, bytes]]:
    """Tensors that do not fit their storages."""
    numbers, (_, size, stride, grad, hooks) = GENUINE.storage, GENUINE.arguments
    for name, arguments in {
        "size-gigantic": (0, (2**20, 2**20), (1, 1)),
        "size-overflowing": (0, (2**62, 4), (4, 1)),
        "size-beyond-64-bits": (0, (2**70,), (1,)),
        "size-of-2000-bits": (0, (2**2000,), (1,)),
        "size-negative": (0, (-2, 2, 3, 3), stride),
        "size-zero": (0, (0, 2, 3, 3), stride),
        "size-true": (0, (True, 2, 3, 3), stride),
        "size-float": (0, (2.0, 2, 3, 3), stride),
        "size-nan": (0, (float("nan"), 2, 3, 3), stride),
        "size-text": (0, ("2", 2, 3, 3), stride),
        "size-none": (0, None, stride),
        "size-list": (0, list(size), stride),
        "size-nested": (0, ((2,), 2, 3, 3), stride),
        "size-of-10000-dimensions": (0, (1,) * 10_000, (1,) * 10_000),
        "stride-zero": (0, (2**20, 2**20), (0, 0)),
        "stride-zero-in-part": (0, (1000, 36), (0, 1)),
        "stride-negative": (35, size, (-18, 9, 3, 1)),
        "stride-huge": (0, size, (2**62, 9, 3, 1)),
        "stride-short": (0, size, (1,)),
        "stride-none": (0, size, None),
        "stride-beyond": (0, size, (19, 9, 3, 1)),
        "offset-negative": (-1, size, stride),
        "offset-beyond": (1, size, stride),
        "offset-huge": (2**62, size, stride),
        "offset-none": (None, size, stride),
        "offset-text": ("0", size, stride),
    }.items():
        tensor = Stored(numbers, (*arguments, grad, hooks))
        yield f"window-{name}", nvidia(replaced(tensor))
    yield "window-hooks", nvidia(replaced(Stored(numbers, (0, size, stride, grad, {"a": 1}))))
    yield "window-metadata", nvidia(replaced(Stored(numbers, (0, size, stride, grad, hooks, {"neg": True}))))
    yield "window-no-arguments", nvidia(replaced(Stored(numbers, ())))
    yield "window-of-nothing", nvidia(replaced(Stored(None, GENUINE.arguments)))
    yield "window-is-text", nvidia(replaced("a tensor"))
    yield "window-is-number", nvidia(replaced(1.5))
    yield "window-is-network", nvidia(replaced(network()))
    parameter = GENUINE
    for _ in range(3):
        parameter = Rebuilt(torch._utils._rebuild_parameter, parameter, True, OrderedDict())
    yield "window-parameter-of-parameter", nvidia(replaced(parameter))
    yield "window-parameter-of-nothing", nvidia(replaced(Rebuilt(torch._utils._rebuild_parameter)))
    scalar = Stored(Numbers(b"\0" * 4, 1), (0, (), (), False, OrderedDict()))
    yield "window-scalar-everywhere", nvidia(network(lambda name, tensor: scalar))


def storages() -> Iterator[tuple[str, bytes]]:
    """Storages whose streams lie, or hold other pickles."""
    numbers = GENUINE.storage

    def with_stream(content: object) -> bytes:
        load = Rebuilt(torch.storage._load_from_bytes, content)
        return nvidia(replaced(Stored(load, GENUINE.arguments)))

    for name, changed in {
        "count-larger": replace(numbers, numel=10**6),
        "count-smaller": replace(numbers, numel=35),
        "count-huge": replace(numbers, numel=2**62),
        "count-of-2000-bits": replace(numbers, numel=2**2000),
        "count-negative": replace(numbers, numel=-36),
        "count-zero": replace(numbers, numel=0),
        "too-short": replace(numbers, data=numbers.data[:-1]),
        "too-long": replace(numbers, data=numbers.data + b"\0"),
        "half": replace(numbers, kind="HalfStorage"),
        "bool": replace(numbers, kind="BoolStorage"),
        "double": replace(numbers, kind="DoubleStorage"),
    }.items():
        yield f"storage-{name}", nvidia(replaced(Stored(changed, GENUINE.arguments)))
    for name, changes in {
        "magic": {"magic": 0},
        "magic-list": {"magic": []},
        "version": {"version": 1002},
        "big-endian": {"system": {"little_endian": False}},
        "system-list": {"system": []},
        "keys-none": {"keys": None},
        "keys-missing": {"keys": []},
        "keys-twice": {"keys": ["0", "0"]},
        "keys-other": {"keys": ["1"]},
        "keys-numbers": {"keys": [0]},
        "keys-nested": {"keys": [["0"]]},
        "hostile-magic": {"magic": System()},
        "hostile-version": {"version": System()},
        "hostile-system": {"system": {"little_endian": System()}},
        "hostile-content": {"content": System()},
        "hostile-keys": {"keys": [System()]},
        "content-other": {"content": {"a": 1}},
    }.items():
        yield f"stream-{name}", with_stream(stream(numbers, [numbers], **changes))
    whole = stream(numbers, [numbers])
    yield "stream-empty", with_stream(b"")
    yield "stream-truncated", with_stream(whole[:100])
    yield "stream-text", with_stream(whole.decode("latin-1"))
    yield "stream-number", with_stream(7)
    yield "stream-zip", with_stream(b"PK\x03\x04" + whole)
    yield "stream-hostile", with_stream(PROTO + called("os", "system", "true").code + END)
    yield "stream-in-stream", with_stream(stream(Stored(numbers, GENUINE.arguments), [numbers]))
    yield "file-big-endian", stream({"g_ema": {}}, [], system={"little_endian": False})
    yield "file-hostile", stream({"g_ema": System()}, [])
    yield "file-hostile-keys", stream({"g_ema": {}}, [], keys=System())
    yield "file-without-network", stream({}, [])
    yield "file-network-is-list", stream({"g_ema": []}, [])
    yield "file-network-is-empty", stream({"g_ema": {}}, [])
    yield "file-names-are-numbers", stream({"g_ema": {1: 2}}, [])
    yield "file-tensor-of-other-kind", stream_of(lambda name, t: 1 if name == "input.input" else t)
    yield "file-trailing", stream_of() + b"\0"
    for name, arguments in {
        "not-latin1": ("\u2603", "latin1"),
        "other-codec": ("a", "rot13"),
        "codec-zlib": (b"a", "zlib"),
        "no-codec": ("a",),
        "of-itself": (Rebuilt(_codecs.encode, "a", "latin1"), "latin1"),
    }.items():
        yield f"stream-{name}", with_stream(Rebuilt(_codecs.encode, *arguments))
    large = Numbers(bytes(2**20), 2**18)
    text = stream(large, [large]).decode("latin-1")
    root = network()
    root.state["_parameters"] = OrderedDict(
        (
            f"t{i}",
            Stored(Rebuilt(torch.storage._load_from_bytes, Rebuilt(_codecs.encode, text, "latin1")), window),
        )
        for i, window in enumerate([GENUINE.arguments] * 1_500)
    )
    yield "stream-decoded-1500-times", nvidia(root, protocol=2)


def hostile_tensors() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    yield from windows()
    yield from storages()
