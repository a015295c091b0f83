"""Latents and labels on disk: Parquet parts under a manifest.

A folder holds ``part-00000.parquet …`` and ``manifest.json``, which names each part with rows and SHA-256
and carries the provenance. Readers refuse, by name, what is not so; any Parquet reader opens the parts.
"""

from __future__ import annotations

__all__ = [
    "FileEntry",
    "Manifest",
    "attach_labels",
    "check_provenance",
    "labels_schema",
    "latents_schema",
    "latents_table",
    "new_folder",
    "part_bytes",
    "part_name",
    "read_manifest",
    "read_part",
    "read_parts",
    "read_table",
    "replace_folder",
    "row_normals",
    "split_of",
    "to_tensors",
    "write_manifest",
    "write_part",
]

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import PipelineError
from pipeline.manifest import (
    FileEntry,
    Manifest,
    check_provenance,
    read_manifest,
    types_of,
    write_manifest,
)
from pipeline.rows import (
    Split,
    attach_labels,
    labels_schema,
    latents_schema,
    latents_table,
    refuse_gaps,
    row_normals,
    split_of,
    to_tensors,
)
from pipeline.storage import Storage, read_uri


def part_name(index: int) -> str:
    """File name of the part with this index."""
    return f"part-{index:05d}.parquet"


def write_part(place: Storage | Path, name: str, table: pa.Table) -> FileEntry:
    """Write one part, whole or not at all; equal tables give equal bytes.

    Arguments:
        place: the data folder.
        name: of the part.
        table: its rows.

    Returns:
        Its entry, with a URI when the place is elsewhere.
    """
    storage = place if isinstance(place, Storage) else Storage(place)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.combine_chunks(),
        sink,
        version="2.6",
        compression="zstd",
        compression_level=1,
        use_dictionary=["split"],
        row_group_size=max(table.num_rows, 1),
    )
    content = sink.getvalue().to_pybytes()
    storage.write(name, content)
    entry = FileEntry(name=name, rows=table.num_rows, sha256=hashlib.sha256(content).hexdigest())
    return replace(entry, size=len(content), uri=storage.uri(name)) if storage.elsewhere else entry


def read_part(
    folder: str | Path, entry: FileEntry, schema: Mapping[str, str], columns: Sequence[str] | None = None
) -> pa.Table:
    """One part, verified against its manifest.

    Arguments:
        folder: the data folder.
        entry: the part.
        schema: column name → Arrow type, as the manifest has it.
        columns: which columns to keep, in this order; ``None`` keeps all.

    Raises:
        PipelineError: naming the file, when it is missing, truncated, edited, of another schema, or has NaN.
    """
    path = Path(folder) / entry.name
    content = part_bytes(folder, entry)
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise PipelineError(
            f"expected Parquet, got {str(error).splitlines()[0]!r}, in {path}: make it again"
        ) from None
    _check_part(path, table, entry, schema)
    return table.select(list(columns)) if columns is not None else table


def part_bytes(folder: str | Path, entry: FileEntry) -> bytes:
    """The bytes of a part, held to their digest alone, which takes a fifth of the time of :func:`read_part`.

    Raises:
        PipelineError: naming the file, when it is missing, truncated or edited.
    """
    path = entry.uri or Path(folder) / entry.name
    try:
        content = read_uri(entry.uri) if entry.uri else Path(path).read_bytes()
    except FileNotFoundError:
        raise PipelineError(
            f"expected {entry.rows} rows, got no file, in {path}: run `dvc checkout` or make it again"
        ) from None
    if (digest := hashlib.sha256(content).hexdigest()) != entry.sha256:
        raise PipelineError(
            f"expected the SHA-256 {entry.sha256[:12]}… of the manifest, got {digest[:12]}… "
            f"({len(content)} bytes), in {path}: "
            "the file is truncated or edited, run `dvc checkout --force` or make it again"
        )
    return content


def _check_part(path: Path, table: pa.Table, entry: FileEntry, schema: Mapping[str, str]) -> None:
    """Hold a part to the manifest's schema and row count, and refuse missing and unfinite values."""
    found = types_of(table.schema)
    if found != schema or table.num_rows != entry.rows:
        differing = [name for name in {**schema, **found} if schema.get(name) != found.get(name)]
        raise PipelineError(
            f"expected {entry.rows} rows and the manifest's schema, got {table.num_rows} rows, "
            f"columns that differ: {differing or 'none'}, in {path}: "
            "the file is of another schema, make it again"
        )
    refuse_gaps(table, str(path))


def read_table(
    folder: str | Path,
    columns: Sequence[str] | None = None,
    split: Split | None = None,
    most: int | None = None,
) -> pa.Table:
    """The rows of a data folder, in order of id, every part verified.

    Arguments and errors are those of :func:`read_parts`.
    """
    return pa.concat_tables(read_parts(folder, columns, split, most)).combine_chunks()


def read_parts(
    folder: str | Path,
    columns: Sequence[str] | None = None,
    split: Split | None = None,
    most: int | None = None,
) -> Iterator[pa.Table]:
    """The rows of a data folder part by part: of many, rows that nobody wants would not fit into memory.

    Arguments:
        folder: the data folder.
        columns: which columns to keep, in this order; ``None`` keeps all.
        split: only the rows of this split; ``None`` takes every row.
        most: so many of these rows, the first ones, and no part behind them; ``None`` takes all.

    Raises:
        PipelineError: naming the first file that is not what the manifest says, or the columns that lack.
    """
    manifest = read_manifest(folder)
    if missing := [name for name in columns or () if name not in manifest.schema]:
        raise PipelineError(
            f"expected the columns {missing}, got {list(manifest.schema)}, in {folder}: "
            "correct labeler.attributes or label again"
        )
    keep = None if columns is None else list(dict.fromkeys([*columns, "split"]))
    wanted = manifest.rows if most is None else most
    for file in manifest.files:
        if wanted <= 0:
            return
        table = read_part(folder, file, manifest.schema, keep)
        if split is not None:
            table = table.filter(pc.equal(table["split"].cast(pa.string()), split))
        table = table.slice(0, wanted)
        wanted -= table.num_rows
        yield table if columns is None else table.select(list(columns))


def replace_folder(new: str | Path, target: str | Path) -> None:
    """Put the finished folder ``new`` in the place of ``target`` by renaming, on one file system."""
    new, target = Path(new), Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    old = target.with_name(f".{target.name}.old.{os.getpid()}")
    if target.exists():
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def new_folder(target: str | Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``target`` when the block ends well, and is gone otherwise."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        yield new
        replace_folder(new, target)
