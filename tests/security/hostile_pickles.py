"""Pickles that misuse allowed names, exhaust their reader, or are none."""

from __future__ import annotations

__all__ = ["hostile_pickles"]

import struct
from collections.abc import Iterator

from tests.security.genuine import nvidia
from tests.security.hostile_imports import COMMAND
from tests.security.opcodes import END, PROTO, Op, called, named, ops, persistent_id, spliced


def calls() -> Iterator[tuple[str, bytes]]:
    """Allowed names, used as no checkpoint uses them."""
    genuine = nvidia()
    uses = {
        "storage-type": called("torch", "FloatStorage", 2**40),
        "dtype": called("torch", "float32"),
        "ndarray": called("numpy", "ndarray", (2**40,)),
        "dict-of-pairs": called("collections", "OrderedDict", [["a", 1]]),
        "set-of-number": called("builtins", "set", 2**40),
        "set-of-tuples": called("builtins", "set", [((),)]),
        "set-of-two": called("builtins", "set", [], []),
        "a-call": Op(called("torch", "Size", (1,)).code + ops(()) + b"R"),
        "text": Op(ops("os.system") + ops((COMMAND,)) + b"R"),
        "list-of-arguments": Op(named("torch", "device").code + ops(["cpu"]) + b"R"),
        "state-of-import": Op(named("torch", "FloatStorage").code + ops({"__call__": 1}) + b"b"),
        "state-of-class": Op(named("dnnlib.util", "EasyDict").code + ops({"__setattr__": 1}) + b"b"),
        "state-of-tensor": Op(called("torch._utils", "_rebuild_tensor_v2", 1).code + ops({"data": 1}) + b"b"),
        "state-of-dict": Op(ops({}) + ops({"__setstate__": "x", "__class__": "y"}) + b"b"),
        "state-of-list": Op(ops([]) + ops({"append": 1}) + b"b"),
        "state-of-text": Op(ops("x") + ops({"y": 1}) + b"b"),
        "state-with-slots": Op(ops({}) + ops((None, {"_metadata": 1})) + b"b"),
        "state-twice": Op(called("argparse", "Namespace").code + (ops({"a": 1}) + b"b") * 2),
        "state-of-nothing": Op(b"(" + ops({}) + b"b"),
    }
    for name, use in uses.items():
        yield f"use-{name}", spliced(genuine, "x", use)
    ids = {
        "import": persistent_id(named("os", "system")),
        "text": persistent_id("os.system"),
        "module": persistent_id(("module", named("torch", "FloatStorage"), "0", "cpu", 1)),
        "number": persistent_id(1),
        "no-type": persistent_id(("storage", "FloatStorage", "0", "cpu", 1)),
        "list": persistent_id(["storage", named("torch", "FloatStorage"), "0", "cpu", 1]),
        "view": persistent_id(("storage", named("torch", "FloatStorage"), "0", "cpu", 1, ("0", 0, 1))),
    }
    for name, value in ids.items():
        yield f"persistent-{name}", PROTO + ops({"G_ema": value, "g_ema": value}) + END
    yield "persistent-line", spliced(genuine, "x", Op(b"Pos.system\n"))


def machine() -> Iterator[tuple[str, bytes]]:
    """Pickles that are none: their instructions, stack, marks or memo."""
    genuine = nvidia()
    bodies = {
        "underflow-append": b"a",
        "underflow-reduce": b"R",
        "underflow-tuple": b"\x87",
        "underflow-setitem": b"}s",
        "underflow-below-mark": b"N(a",
        "no-mark": b"]e",
        "no-mark-tuple": b"t",
        "open-mark": b"(N",
        "two-values": b"NN",
        "no-value": b"",
        "odd-items": b"}(Nu",
        "append-to-dict": b"}Na",
        "items-to-list": b"](NNu",
        "add-to-dict": b"}(N\x90",
        "key-list": b"}]Ns",
        "key-set": b"}\x8fNs",
        "key-tuple": b"})Ns",
        "key-bytes": b"}C\x01aNs",
        "key-call": b"}" + named("torch", "float32").code + b"Ns",
        "member-tuple": b"\x8f()\x90",
        "memo-huge": b"Nr\xff\xff\xff\xff",
        "memo-ahead": b"Nq\x05",
        "memo-again": b"Nq\x00q\x00",
        "memo-empty": b"h\x00",
        "memo-far": b"j\xff\xff\xff\xff",
        "memo-nothing": b"\x94",
        "pop": b"NN0",
        "pop-mark": b"N(N1",
        "dup": b"N2",
        "int-text": b"I1\n",
        "long-text": b"L1L\n",
        "long4": b"\x8b\xff\xff\xff\x7f",
        "string-text": b"S'x'\n",
        "unicode-text": b"Vx\n",
        "float-text": b"F1\n",
        "string": b"U\x01x",
        "list-mark": b"(l",
        "dict-mark": b"(d",
        "frozenset": b"(\x91",
        "next-buffer": b"\x97",
        "readonly-buffer": b"N\x98",
        "unknown": b"\xff",
        "proto-again": b"\x80\x04N",
        "bad-utf8": b"X\x02\x00\x00\x00\xc3\x28",
        "surrogate": b"X\x03\x00\x00\x00\xed\xa0\x80",
        "long-text-beyond": b"X\xff\xff\xff\xff",
        "text8-beyond": b"\x8d" + b"\xff" * 8,
        "bytes-beyond": b"B\xff\xff\xff\xff",
        "bytes8-beyond": b"\x8e" + b"\xff" * 8,
        "bytearray-beyond": b"\x96" + b"\xff" * 8,
        "frame-beyond": b"\x95" + b"\xff" * 8 + b"N",
        "long1-beyond": b"\x8a\xff",
    }
    for name, body in bodies.items():
        yield f"machine-{name}", PROTO + body + END
    yield "machine-protocol-0", b"(dp0\nVG_ema\np1\nNs."
    yield "machine-protocol-1", b"}X\x05\x00\x00\x00G_emaNs."
    yield "machine-protocol-6", b"\x80\x06" + genuine[2:]
    yield "machine-protocol-255", b"\x80\xff" + genuine[2:]
    yield "machine-second-pickle", genuine + PROTO + called("os", "system", COMMAND).code + END
    yield "machine-trailing-byte", genuine + b"\x00"


def bombs() -> Iterator[tuple[str, bytes]]:
    """Pickles that want all memory or all time."""

    def beside(value: bytes) -> bytes:
        return spliced(nvidia(), "x", Op(value))

    def alone(value: bytes) -> bytes:
        return PROTO + value + END

    def repeated(count: int, item: bytes) -> bytes:
        """A list of many items, filled by the hundred as a pickler fills it."""
        return b"]" + (b"(" + item * 100 + b"e") * (count // 100)

    def recalled(place: int) -> bytes:
        return b"j" + struct.pack("<I", place)

    doubled = b"".join(recalled(i) * 2 + b"\x86\x94" for i in range(60))
    yield "bomb-key-of-doubled-tuples", alone(b"}" + ops(()) + b"\x94" + doubled + b"Ns")
    laughs = b"".join(b"](" + recalled(i) * 100 + b"e\x94" for i in range(1_500))
    yield "bomb-laughs", alone(b"(" + b"]\x94" + laughs + b"t")
    yield "bomb-tuples-100k", alone(b"N" + b"\x85" * 100_000)
    yield "bomb-lists", alone(b"]" * 50_000 + b"a" * 49_999)
    yield "bomb-dicts", alone(b"}N" * 30_000 + b"}" + b"s" * 30_000)
    yield "bomb-calls", alone(named("torch", "Size").code * 25_000 + b")" + b"\x85R" * 25_000)
    yield "bomb-many-sets", beside(repeated(280_000, b"\x8f"))
    yield "bomb-many-dicts", beside(repeated(280_000, b"}"))
    yield "bomb-many-lists", beside(repeated(280_000, b"]"))
    yield (
        "bomb-many-calls",
        alone(b"(" + named("torch", "Size").code + b"\x94" + repeated(90_000, b"h\x00)R") + b"t"),
    )
    yield "bomb-many-names", beside(repeated(90_000, named("collections", "OrderedDict").code))
    yield "bomb-many-numbers", beside(repeated(150_000, b"\x8a\x20" + b"\x7f" * 32))
    yield "bomb-many-views", beside(repeated(280_000, b"B\x00\x00\x00\x00"))
    yield "bomb-many-bytes", beside(repeated(160_000, b"C\x10" + b"x" * 16))
    yield "bomb-many-texts", beside(repeated(80_000, b"\x8c\xff" + b"x" * 255))
    yield "bomb-wide-texts", beside(repeated(100, b"")[:-2] + ops("\U0001f600" + "a" * 1_000_000) * 9 + b"e")
    yield "bomb-many-items", beside(b"]" + b"Na" * 155_000)
    yield "bomb-many-entries", beside(b"}" + b"".join(ops(str(i)) + b"Ns" for i in range(120_000)))
    yield "bomb-stack", alone(b"(" + b"N" * 300_000 + b"t")
    yield "bomb-marks", alone(b"(" * 300_000)
    yield "bomb-memo", alone(b"N" + b"\x94" * 310_000)
    yield "bomb-recalls", alone(b"]\x94" + (b"(" + b"h\x00" * 1_000 + b"e") * 250)
    twins = ops("x" * 2**20) + b"N" + ops("x" * 2**20) + b"\x94N"
    yield "bomb-keys-long-and-equal", alone(b"}(" + twins + b"u" + b"h\x00Ns" * 90_000)
    for name, keys in {
        "same-hash": [i * (2**61 - 1) for i in range(40_000)],
        "high-bits": [i << 40 for i in range(40_000)],
        "floats": [float(i) for i in range(40_000)],
    }.items():
        yield f"bomb-keys-{name}", beside(b"}(" + b"".join(ops(key) + b"N" for key in keys) + b"u")
        yield f"bomb-members-{name}", beside(b"\x8f(" + b"".join(map(ops, keys)) + b"\x90")


def hostile_pickles() -> Iterator[tuple[str, bytes]]:
    """All of them, by name."""
    yield from calls()
    yield from machine()
    yield from bombs()
