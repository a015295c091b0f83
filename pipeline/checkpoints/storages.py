"""The streams that ``torch.save`` wrote before it wrote zip files: whole files, or storages in a pickle.

A stream is a row of pickles (a magic number, a version, facts about the machine, the object, the keys of its
storages), then for each key a count and that many raw numbers. The object mentions a storage by a persistent
id ``("storage", type, key, device, count, None)``.
"""

from __future__ import annotations

__all__ = ["MAGIC", "StorageId", "embedded_storage", "read_stream", "storage_id"]

from collections.abc import Collection
from dataclasses import dataclass

import torch

from pipeline.checkpoints.names import ENCODE, LOAD_FROM_BYTES
from pipeline.checkpoints.pickles import PERSISTENT, read_pickle
from pipeline.checkpoints.tensors import DTYPES, LARGEST, Storage, StorageOf
from pipeline.checkpoints.values import Budget, Call, Global, LongText, shown
from pipeline.errors import PipelineError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
COUNT = 8  # bytes before a storage's numbers, which say how many there are


@dataclass(frozen=True, slots=True)
class StorageId:
    """What a persistent id says about a storage."""

    key: str
    dtype: torch.dtype
    numel: int

    @property
    def nbytes(self) -> int:
        """The size of the storage's numbers."""
        return self.numel * self.dtype.itemsize


def storage_id(node: object) -> StorageId:
    """Read a persistent id.

    Raises:
        PipelineError: when it is not that of a storage.
    """
    match node:
        case Call(name=name, args=(("storage", Global(name=kind), str(key), str(), int(numel), *view),)) if (
            name == PERSISTENT and kind in DTYPES and 0 <= numel <= LARGEST and view in ([], [None])
        ):
            return StorageId(key, DTYPES[kind], int(numel))
    raise PipelineError(f"expected the id of a tensor's storage, got {shown(node)}: the file is damaged")


def read_stream(data: memoryview, budget: Budget) -> tuple[object, StorageOf]:
    """The object of a stream, and where to find its storages.

    Raises:
        PipelineError: when the stream is not whole, or is longer than it says.
    """
    position, values, ids = 0, [], []
    for _ in range(5):
        pickle = read_pickle(data, position, budget)
        position = pickle.end
        values.append(pickle.value)
        ids += [storage_id(node) for node in pickle.persistent]
    magic, version, machine, content, keys = values
    if (magic, version) != (MAGIC, VERSION) or type(machine) is not dict or not machine.get("little_endian"):
        raise PipelineError(
            f"expected a little-endian torch.save stream of version {VERSION}, got another: "
            "the file is damaged or not a checkpoint"
        )
    storages = _raw_storages(data, position, keys, ids)

    def storage_of(node: object) -> Storage:
        return storages[storage_id(node)]

    return content, storage_of


def _raw_storages(
    data: memoryview, position: int, keys: object, ids: list[StorageId]
) -> dict[StorageId, Storage]:
    """The numbers at the end of a stream, cut at the counts before them."""
    declared = {storage.key: storage for storage in ids}
    contradictory = any(declared[storage.key] != storage for storage in ids)
    if contradictory or not isinstance(keys, list) or not _are_same(keys, declared):
        raise PipelineError(
            "expected the keys of all storages that the object mentions, got others: the file is damaged"
        )
    storages = {}
    for storage in (declared[key] for key in keys):
        start = position + COUNT
        position = start + storage.nbytes
        if int.from_bytes(data[start - COUNT : start], "little") != storage.numel or position > len(data):
            raise PipelineError(
                f"expected {storage.numel} numbers in storage {shown(storage.key)}, got another count or the "
                "end of the file: it is damaged"
            )
        storages[storage] = Storage(data[start:position], storage.dtype)
    if position != len(data):
        raise PipelineError(
            f"expected the end of the stream, got {len(data) - position} more bytes: the file is damaged"
        )
    return storages


def _are_same(keys: list[object], declared: Collection[str]) -> bool:
    return len(keys) == len(declared) and {key for key in keys if isinstance(key, str)} == set(declared)


def embedded_storage(node: object, budget: Budget) -> Storage:
    """The storage whose stream is the argument of a note, as plain pickles write tensors.

    Raises:
        PipelineError: when it is not the stream of one storage.
    """
    match node:
        case Call(name=function, args=(content,)) if function == LOAD_FROM_BYTES:
            storage_node, storage_of = read_stream(_bytes_of(content, budget), budget)
            return storage_of(storage_node)
    raise PipelineError(f"expected the stream of a storage, got {shown(node)}: the file is damaged")


def _bytes_of(node: object, budget: Budget) -> memoryview:
    """Bytes as protocols 3 to 5 write them, or as protocol 2 does: one character of latin-1 each."""
    match node:
        case bytes() | memoryview():
            return memoryview(node)
        case Call(name=function, args=(str() | LongText() as text, "latin1")) if function == ENCODE:
            return memoryview(_latin1(text, budget))
    raise PipelineError(f"expected the bytes of a storage, got {shown(node)}: the file is damaged")


def _latin1(text: str | LongText, budget: Budget) -> bytes:
    budget.spend_payload(len(text.utf8 if isinstance(text, LongText) else text))
    try:
        return (str(text.utf8, "utf-8") if isinstance(text, LongText) else text).encode("latin-1")
    except UnicodeError as error:
        raise PipelineError("expected bytes as latin-1 text, got other text: the file is damaged") from error
