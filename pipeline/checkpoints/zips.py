"""The zip files that ``torch.save`` writes: a pickle ``data.pkl``, and ``data/KEY`` for each storage.

They are plain zips: nothing compressed, no entry in another's place, one folder, no comment. A file that is
anything else was not written by ``torch.save``, and two readers could see different things in it, so it is
refused. What remains are views of the file, and nothing is ever unpacked.

References:
    .ZIP File Format Specification (PKWARE, 6.3.10),
    https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

__all__ = ["SIGNATURE", "read_zip"]

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.checkpoints.pickles import read_pickle
from pipeline.checkpoints.storages import storage_id
from pipeline.checkpoints.tensors import Storage, StorageOf
from pipeline.checkpoints.values import Budget, shown
from pipeline.errors import PipelineError

SIGNATURE = b"PK\x03\x04"
ENTRIES = 20_000  # a training checkpoint has some thousand tensors
NAME = 256  # bytes
STORED = 0  # the compression method that is none
ENCRYPTED = 1  # one of the flags

# The records of the format from their signatures on; what does not matter here is skipped.
END = struct.Struct("<4s4x2H2IH")  # entries on this disk, entries, directory: size, start; comment
LOCATOR_64 = struct.Struct("<4s4xQ4x")  # start of the following
END_64 = struct.Struct("<4s20x4Q")  # entries on this disk, entries, directory: size, start
ENTRY = struct.Struct("<4s4x2H8x2I3H8xI")  # flags, method, size packed, size, lengths of texts, start
LOCAL = struct.Struct("<4s2x2H16x2H")  # flags, method, lengths of texts


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its name, where its header starts, and its bytes from ``begin`` to ``end`` of the file."""

    name: str
    start: int
    begin: int
    end: int


def read_zip(data: memoryview, budget: Budget) -> tuple[object, StorageOf]:
    """The object that a zip file of ``torch.save`` holds, and where to find its storages.

    Raises:
        PipelineError: for any other zip file.
    """
    entries = _contents(data)
    if bytes(entries.get("byteorder", b"little")) != b"little":
        raise PipelineError("expected little-endian numbers, got others: save the checkpoint again")
    if "data.pkl" not in entries:
        raise _error("an entry data.pkl", "none")
    pickle = read_pickle(entries["data.pkl"], 0, budget)

    def storage_of(node: object) -> Storage:
        storage = storage_id(node)
        numbers = entries.get(f"data/{storage.key}", memoryview(b""))
        if len(numbers) != storage.nbytes:
            raise PipelineError(
                f"expected {storage.nbytes} bytes as storage {shown(storage.key)}, got {len(numbers)}: "
                "the file is damaged"
            )
        return Storage(numbers, storage.dtype)

    return pickle.alone_in(entries["data.pkl"]), storage_of


def _contents(data: memoryview) -> dict[str, memoryview]:
    """The bytes of every entry by its name within the one folder."""
    count, start, end = _directory(data)
    entries = sorted(_entries(data, count, start, end), key=lambda entry: entry.start)
    folders = {entry.name.partition("/")[0] for entry in entries}
    names = {entry.name.partition("/")[2] for entry in entries}
    if len(folders) != 1 or len(names) != len(entries):
        raise _error("one folder with entries of different names", "more folders or a name twice")
    position = 0
    for entry in entries:
        if not position <= entry.start < entry.begin <= entry.end <= start:
            raise _error(f"entry {shown(entry.name)} in a place of its own", "one that overlaps others")
        position = entry.end
    return {entry.name.partition("/")[2]: data[entry.begin : entry.end] for entry in entries}


def _directory(data: memoryview) -> tuple[int, int, int]:
    """How many entries the directory has, where it starts, and where it ends."""
    end = len(data) - END.size
    signature, here, count, size, start, comment = _record(END, data, end)
    if signature != b"PK\x05\x06" or comment or here != count or count > ENTRIES:
        raise _error("the end of a zip file", "something else; it may be truncated")
    locator = _record(LOCATOR_64, data, end - LOCATOR_64.size) if end >= LOCATOR_64.size else (b"", 0)
    if locator[0] == b"PK\x06\x07":  # written always, and says the same again in 64 bits
        end -= LOCATOR_64.size + END_64.size
        if locator[1] != end or _record(END_64, data, end) != (b"PK\x06\x06", count, count, size, start):
            raise _error("the same from both ends of the directory", "different things")
    if start + size != end:
        raise _error(f"a directory that ends at byte {end}", f"one that ends at {start + size}")
    return count, start, end


def _entries(data: memoryview, count: int, position: int, end: int) -> Iterator[Entry]:
    """What the directory says, checked against the header of each entry."""
    for _ in range(count):
        signature, flags, method, packed, size, name, extra, comment, start = _record(ENTRY, data, position)
        text = data[position + ENTRY.size :][:name]
        position += ENTRY.size + name + extra + comment
        if signature != b"PK\x01\x02" or position > end or name > NAME:
            raise _error("an entry of the directory", "something else")
        if flags & ENCRYPTED or method != STORED or packed != size:
            raise _error("entries as they are", "a compressed or encrypted one")
        begin = start + LOCAL.size + name
        local = _record(LOCAL, data, start)
        if local[:4] != (SIGNATURE, flags, method, name) or data[begin - name : begin] != text:
            raise _error("the header of an entry as in the directory", "another")
        yield Entry(_plain(bytes(text)), start, begin + local[4], begin + local[4] + size)
    if position != end:
        raise _error(f"{count} entries in the directory", "more")


def _plain(name: bytes) -> str:
    """A name without tricks: a folder and a file in it, which may be in a folder ``data`` or ``.data``."""
    text = name.decode("utf-8", errors="replace")
    parts = text.split("/")
    if not text.isprintable() or "\\" in text or len(parts) < 2 or not {"", ".", ".."}.isdisjoint(parts):
        raise _error("plain names of entries", shown(text))
    return text


def _record(layout: struct.Struct, data: memoryview, position: int) -> tuple[Any, ...]:
    """A record, if there is room for one."""
    if not 0 <= position <= len(data) - layout.size:
        raise _error("a record of a zip file", f"an end of the file at byte {len(data)}")
    return layout.unpack_from(data, position)


def _error(expected: str, got: str) -> PipelineError:
    return PipelineError(
        f"expected {expected}, got {got}: save the checkpoint with torch.save, without packing it again"
    )
