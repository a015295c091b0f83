"""Rows of latents and labels: their randomness, their split, their Arrow types.

Example:
    >>> row_normals(seed=0, ids=[7, 8], dim=4)[1].tolist() == row_normals(seed=0, ids=[8], dim=4)[0].tolist()
    True
"""

from __future__ import annotations

__all__ = [
    "Split",
    "attach_labels",
    "labels_schema",
    "latents_schema",
    "latents_table",
    "refuse_gaps",
    "refuse_unfinite",
    "row_classes",
    "row_generators",
    "row_normals",
    "split_of",
    "to_tensors",
]

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pipeline.errors import PipelineError

SPLITS = ("train", "val", "test")
CLASS_STREAM = 1 << 61  # added to the ids, so that classes are independent of the noise with the same seed
BLOCK = 20  # consecutive ids of which one is for validation and one for the test: 90/5/5

Split = Literal["train", "val", "test"]


def row_normals(seed: int, ids: ArrayLike, dim: int) -> NDArray[np.float32]:
    """Standard normals ``[N, dim]``; row i is a function of ``(seed, ids[i])`` alone (Philox).

    Arguments:
        seed: in [0, 2**63).
        ids: row numbers ``[N]``, each in [0, 2**63).
        dim: width of a row.
    """
    ids = np.asarray(ids)
    normals = np.empty((len(ids), dim))
    for row, random in zip(normals, row_generators(seed, ids.tolist()), strict=True):
        random.standard_normal(out=row)
    return normals.astype(np.float32)


def row_classes(seed: int, ids: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Uniform class numbers ``[N]`` below ``classes``; row i is a function of ``(seed, ids[i])`` alone."""
    generators = row_generators(seed, (i + CLASS_STREAM for i in np.asarray(ids).tolist()))
    return np.array([random.integers(classes) for random in generators], dtype=np.int64)


def row_generators(seed: int, ids: Iterable[int]) -> Iterator[np.random.Generator]:
    """A random generator at the start of each row's stream, in turn.

    It is one object that gets another key for each row: to make a new one takes as long as hundreds of draws.
    """
    bits = np.random.Philox(key=np.array([seed, 0], dtype=np.uint64))
    random, start = np.random.Generator(bits), bits.state
    for i in ids:
        start["state"]["key"][1] = i
        bits.state = start
        yield random


def split_of(ids: ArrayLike) -> NDArray[np.int32]:
    """The split of each row, 0 train, 1 val, 2 test (see ``SPLITS``): a pure function of the id.

    Each block of 20 consecutive ids gives one to validation and one to the test, at places that a hash of the
    block chooses: the shares are exact in every prefix of whole blocks.
    """
    ids = np.asarray(ids, dtype=np.uint64)
    block, place = ids // np.uint64(BLOCK), ids % np.uint64(BLOCK)
    hashed = _splitmix64(block)
    val = hashed % np.uint64(BLOCK)
    test = (val + np.uint64(1) + (hashed >> np.uint64(32)) % np.uint64(BLOCK - 1)) % np.uint64(BLOCK)
    return (place == val).astype(np.int32) + 2 * (place == test).astype(np.int32)


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., OOPSLA 2014), a bijection that mixes 64 bits."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def latents_schema(w_dim: int) -> pa.Schema:
    """``id``, ``split`` and the style vector ``w``."""
    split = pa.dictionary(pa.int32(), pa.string())
    w = pa.list_(pa.field("element", pa.float32()), w_dim)  # the name that Parquet gives back
    return pa.schema([("id", pa.int64()), ("split", split), ("w", w)])


def labels_schema(w_dim: int, columns: Sequence[str]) -> pa.Schema:
    """The latents and one ``float32`` column for each column of the labeler."""
    return pa.schema([*latents_schema(w_dim), *((name, pa.float32()) for name in columns)])


def latents_table(ids: ArrayLike, w: ArrayLike) -> pa.Table:
    """Rows of latents.

    Arguments:
        ids: row numbers ``[N]``.
        w: style vectors ``[N, w_dim]``.

    Raises:
        PipelineError: naming the first id whose style vector is not finite.
    """
    ids, w = np.asarray(ids, dtype=np.int64), np.ascontiguousarray(w, dtype=np.float32)
    refuse_unfinite("w", ids, w)
    split = pa.DictionaryArray.from_arrays(pa.array(split_of(ids)), pa.array(SPLITS))
    schema = latents_schema(w.shape[1])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(w.reshape(-1)), type=schema.field("w").type)
    return pa.table([pa.array(ids), split, vectors], schema=schema)


def attach_labels(latents: pa.Table, attrs: ArrayLike, columns: Sequence[str]) -> pa.Table:
    """The latents with the labeler's raw outputs ``attrs [N, K]`` beside them, same rows, same order.

    Raises:
        PipelineError: naming the first id that has a score which is not finite.
    """
    attrs = np.asarray(attrs, dtype=np.float32)
    refuse_unfinite("the labels", latents["id"].to_numpy(), attrs)
    for k, name in enumerate(columns):
        latents = latents.append_column(
            pa.field(name, pa.float32()), pa.array(np.ascontiguousarray(attrs[:, k]))
        )
    return latents


def to_tensors(table: pa.Table, columns: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """Style vectors ``[N, w_dim]`` and attributes ``[N, K]``, a column for each name, float32, writable."""
    vectors = table["w"].combine_chunks()
    w = torch.tensor(vectors.flatten().to_numpy()).reshape(table.num_rows, vectors.type.list_size)
    attrs = [torch.tensor(table[name].to_numpy()) for name in columns]
    return w, torch.stack(attrs, dim=1) if attrs else torch.empty(table.num_rows, 0)


def refuse_gaps(table: pa.Table, where: str) -> None:
    """Raise a :class:`PipelineError` when a table has missing or unfinite values in any column."""
    ids = table["id"].to_numpy()
    for field in table.schema:
        column = table[field.name].combine_chunks()
        if column.null_count:
            raise PipelineError(
                f"expected values for {field.name}, got {column.null_count} missing, in {where}: "
                "make it again"
            )
        values = column.flatten() if pa.types.is_fixed_size_list(field.type) else column
        if pa.types.is_floating(values.type):
            refuse_unfinite(field.name, ids, values.to_numpy(zero_copy_only=False), where)


def refuse_unfinite(
    what: str, ids: NDArray[np.int64], values: NDArray[np.float32], where: str = "a new table"
) -> None:
    """Raise a :class:`PipelineError` with the first id whose ``values [N, ...]`` are not all finite."""
    bad = ~np.isfinite(values.reshape(len(ids), -1)).all(axis=1)
    if bad.any():
        raise PipelineError(
            f"expected finite numbers for {what}, got NaN or infinity in {bad.sum()} rows, "
            f"the first with id {ids[bad][0]}, in {where}: "
            "check the network and its precision, then make the rows again"
        )
