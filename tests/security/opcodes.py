"""An assembler for pickles: what a pickler would write, and what it never would."""

from __future__ import annotations

__all__ = ["END", "PROTO", "Op", "called", "named", "ops", "persistent_id", "spliced"]

import struct
from dataclasses import dataclass
from typing import Any

PROTO, END = b"\x80\x04", b"."


@dataclass(frozen=True)
class Op:
    """Instructions as they are, among plain values."""

    code: bytes


def ops(value: Any) -> bytes:
    """Instructions that put a value on the stack."""
    match value:
        case Op():
            return value.code
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            return b"J" + struct.pack("<i", value)
        case int():
            content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(content)]) + content
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            content = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(content)) + content
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(ops, value)) + b"t"
        case list():
            return b"](" + b"".join(map(ops, value)) + b"e"
        case dict():
            return b"}(" + b"".join(ops(k) + ops(v) for k, v in value.items()) + b"u"
    raise TypeError(type(value))


def named(module: str, name: str) -> Op:
    """An import."""
    return Op(b"c" + module.encode() + b"\n" + name.encode() + b"\n")


def called(module: str, name: str, *args: Any) -> Op:
    """A call of something imported."""
    return Op(named(module, name).code + ops(args) + b"R")


def persistent_id(value: Any) -> Op:
    """A persistent id."""
    return Op(ops(value) + b"Q")


def spliced(genuine: bytes, key: Any, value: Any) -> bytes:
    """A genuine pickle of a dict with an item more at its end."""
    assert genuine.endswith(b"u.")
    return genuine[:-2] + ops(key) + ops(value) + b"u."
