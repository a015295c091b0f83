"""Files that are no checkpoints, zip files with tricks, and genuine files that are cut off or damaged."""

from __future__ import annotations

__all__ = ["damaged_files", "hostile_files"]

import gzip
import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator

from tests.security.genuine import nvidia, stream_of, torch_zip
from tests.security.opcodes import END, PROTO, called

CENTRAL, END_RECORD = b"PK\x01\x02", b"PK\x05\x06"


def others() -> Iterator[tuple[str, bytes]]:
    """What people have under the name of a checkpoint by mistake, and worse."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("network.pkl"))
    yield "other-empty", b""
    yield "other-one-byte", b"\x80"
    yield "other-two-bytes", b"\x80\x04"
    yield "other-zeros", bytes(10_000)
    yield "other-random", random.Random(0).randbytes(100_000)
    yield "other-random-pickle", PROTO + random.Random(1).randbytes(100_000)
    yield "other-random-zip", b"PK\x03\x04" + random.Random(2).randbytes(100_000)
    yield "other-protos", b"\x80" * 10_000
    yield "other-text", b"<!DOCTYPE html><title>Sign in to download</title>" * 100
    yield "other-json", b'{"architecture": "stylegan2"}'
    yield "other-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 381673535\n"
    yield "other-gzip", gzip.compress(nvidia(), mtime=0)
    yield "other-tar", tar.getvalue()
    yield "other-elf", b"\x7fELF" + bytes(1_000)
    yield "other-script", b"#!/bin/sh\ntouch /tmp/executed\n"
    yield "other-python", b"import os; os.system('touch /tmp/executed')\n"
    yield "other-png", b"\x89PNG\r\n\x1a\n" + bytes(1_000)
    yield "other-hdf5", b"\x89HDF\r\n\x1a\n" + bytes(1_000)
    yield "other-safetensors", struct.pack("<Q", 2**62) + b'{"a":{}}'


def packed(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """A zip file made by Python."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.comment = comment
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def unpacked() -> dict[str, bytes]:
    """The entries of a genuine file."""
    with zipfile.ZipFile(io.BytesIO(torch_zip())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def patched(record: bytes, offset: int, value: bytes, which: int = 0) -> bytes:
    """A genuine file with other bytes in one of its records."""
    content, position = bytearray(torch_zip()), -1
    for _ in range(which + 1):
        position = content.index(record, position + 1)
    content[position + offset : position + offset + len(value)] = value
    return bytes(content)


def zips() -> Iterator[tuple[str, bytes]]:
    """Zip files that would fill the disk or the memory, or that two readers read differently."""
    entries = unpacked()
    listed = list(entries.items())
    hostile = PROTO + called("os", "system", "touch /tmp/executed").code + END
    yield "zip-deflated", packed(listed, zipfile.ZIP_DEFLATED)
    yield "zip-bzip2", packed(listed, zipfile.ZIP_BZIP2)
    yield "zip-lzma", packed(listed, zipfile.ZIP_LZMA)
    yield "zip-bomb", packed([("archive/data.pkl", bytes(20_000_000))], zipfile.ZIP_DEFLATED)
    yield "zip-comment", packed(listed, comment=b"a comment")
    yield "zip-empty", packed([])
    yield "zip-no-pickle", packed([(n, c) for n, c in listed if not n.endswith("data.pkl")])
    yield "zip-no-folder", packed([(n.partition("/")[2], c) for n, c in listed])
    yield "zip-two-folders", packed([*listed, ("other/data.pkl", hostile)])
    yield "zip-other-entries", packed([("model/readme.txt", b"hello")])
    yield "zip-hostile-pickle", packed([*listed[1:], ("archive/data.pkl", hostile)])
    yield "zip-empty-pickle", packed([*listed[1:], ("archive/data.pkl", b"")])
    yield "zip-pickle-and-more", packed([*listed[1:], ("archive/data.pkl", listed[0][1] + b"\0")])
    yield "zip-in-zip", packed([("archive/data.pkl", torch_zip())])
    yield "zip-nvidia-inside", packed([("archive/data.pkl", nvidia())])
    yield "zip-big-endian", packed([(n, b"big" if n.endswith("byteorder") else c) for n, c in listed])
    yield "zip-short-storage", packed([(n, c[:-1] if n.endswith("/0") else c) for n, c in listed])
    yield "zip-long-storage", packed([(n, c + b"\0" if n.endswith("/0") else c) for n, c in listed])
    yield "zip-no-storage", packed([(n, c) for n, c in listed if not n.endswith("/0")])
    empty = [(f"archive/data/x{i}", b"") for i in range(25_000)]
    yield "zip-25000-entries", packed([*listed, *empty])
    yield "zip-19000-entries", packed([("archive/data.pkl", hostile), *empty[:19_000]])
    for name, path in {
        "parent": "archive/../../../tmp/executed",
        "absolute": "/archive/data.pkl",
        "backslash": "archive\\..\\data.pkl",
        "newline": "archive/a\nb",
        "long": "archive/" + "a" * 5_000,
        "folder": "archive/data/",
        "dot": "archive/./data.pkl",
        "double-slash": "archive//data.pkl",
        "control": "archive/\x1b[2Jdata",
    }.items():
        yield f"zip-name-{name}", packed([*listed, (path, b"x")])
    first, twice = b"archive/data/0", b"archive/data/1"
    yield "zip-name-twice", packed(listed).replace(twice, first)
    yield "zip-name-differs", patched(CENTRAL, 46, b"archive/DATA.pkl")
    yield "zip-name-not-utf8", packed(listed).replace(twice, b"archive/data/\xff")
    yield "zip-encrypted", patched(CENTRAL, 8, b"\x09\x08")
    yield "zip-method", patched(CENTRAL, 10, b"\x08\x00")
    yield "zip-local-method", patched(b"PK\x03\x04", 8, b"\x08\x00")
    yield "zip-size-larger", patched(CENTRAL, 20, struct.pack("<II", 10**6, 10**6))
    yield "zip-size-4gib", patched(CENTRAL, 20, b"\xff" * 8)
    yield "zip-size-of-packed", patched(CENTRAL, 20, struct.pack("<I", 1))
    yield "zip-size-unpacked", patched(CENTRAL, 24, struct.pack("<I", 2**31))
    yield "zip-overlapping", patched(CENTRAL, 42, struct.pack("<I", 0), which=1)
    start = struct.unpack_from(
        "<I", torch_zip(), torch_zip().index(CENTRAL, torch_zip().index(CENTRAL) + 1) + 42
    )[0]
    yield "zip-quoted", patched(CENTRAL, 20, struct.pack("<II", start + 10, start + 10))
    yield "zip-start-beyond", patched(CENTRAL, 42, b"\xff\xff\xff\x7f")
    yield "zip-name-length", patched(CENTRAL, 28, b"\xff\xff")
    yield "zip-local-name-length", patched(b"PK\x03\x04", 26, b"\xff\xff")
    yield "zip-local-extra-length", patched(b"PK\x03\x04", 28, b"\xff\xff")
    yield "zip-directory-start", patched(END_RECORD, 16, b"\x00\x00\x00\x00")
    yield "zip-directory-size", patched(END_RECORD, 12, b"\x00\x00\x00\x00")
    yield "zip-directory-beyond", patched(END_RECORD, 12, b"\xff" * 8)
    yield "zip-count-more", patched(END_RECORD, 8, b"\xff\x00\xff\x00")
    yield "zip-count-fewer", patched(END_RECORD, 8, b"\x01\x00\x01\x00")
    yield "zip-count-65535", patched(END_RECORD, 8, b"\xff\xff\xff\xff")
    yield "zip-count-differs", patched(END_RECORD, 8, b"\x01\x00")
    yield "zip-comment-length", patched(END_RECORD, 20, b"\x05\x00")
    yield "zip-64-start", patched(b"PK\x06\x06", 48, b"\x00" * 8)
    yield "zip-64-count", patched(b"PK\x06\x06", 24, b"\xff" * 16)
    yield "zip-64-locator", patched(b"PK\x06\x07", 8, b"\x00" * 8)
    yield "zip-64-signature", patched(b"PK\x06\x06", 0, b"XXXX")
    yield "zip-after-zip", torch_zip() + torch_zip()
    yield "zip-with-prefix", b"PK\x03\x04" + bytes(100) + torch_zip()
    yield "zip-trailing", torch_zip() + b"\0"


GENUINE: dict[str, Callable[[], bytes]] = {
    "protocol2": lambda: nvidia(protocol=2),
    "protocol4": nvidia,
    "zip": torch_zip,
    "stream": stream_of,
}


def truncated() -> Iterator[tuple[str, bytes]]:
    """Genuine files that end early, everywhere."""
    for kind, make in GENUINE.items():
        content = make()
        for i in range(1, 25):
            yield f"truncated-{kind}-{i}", content[: i * len(content) // 25]
        for missing in (1, 2, 3, 8, 22):
            yield f"truncated-{kind}-by-{missing}", content[:-missing]


def damaged_files() -> Iterator[tuple[str, bytes]]:
    """Genuine files with some bits flipped; where weights are hit, they are read as they are."""
    for kind, make in GENUINE.items():
        content = make()
        for i in range(40):
            damage, flipped = random.Random(f"{kind}{i}"), bytearray(content)
            for _ in range(1 + i // 10):
                flipped[damage.randrange(len(flipped))] ^= 1 << damage.randrange(8)
            yield f"flipped-{kind}-{i}", bytes(flipped)


def hostile_files() -> Iterator[tuple[str, bytes]]:
    """All that must be refused, by name."""
    yield from others()
    yield from zips()
    yield from truncated()
