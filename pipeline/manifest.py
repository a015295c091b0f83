"""The manifest of a data folder: its parts with rows and digests, its schema, and where it came from."""

from __future__ import annotations

__all__ = [
    "MANIFEST",
    "FileEntry",
    "Manifest",
    "check_provenance",
    "read_manifest",
    "types_of",
    "write_manifest",
]

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.errors import PipelineError
from pipeline.weights import write_atomic

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One part of a data folder.

    Attributes:
        name: file name inside the folder.
        rows: number of rows.
        sha256: hexadecimal digest of the file.
        size: bytes, of a part that is somewhere else.
        uri: where that is (see :class:`pipeline.storage.Storage`); ``None`` for a file in the folder.
    """

    name: str
    rows: int
    sha256: str
    size: int | None = None
    uri: str | None = None

    def here(self) -> FileEntry:
        """The same part as a file in the folder."""
        return replace(self, size=None, uri=None)

    def plain(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a data folder holds and where it came from.

    Attributes:
        schema: column name → Arrow type, in order.
        files: the parts, in row order.
        provenance: what the bytes depend on: digests of networks, seed, truncation, parameters.
    """

    schema: Mapping[str, str]
    files: tuple[FileEntry, ...]
    provenance: Mapping[str, Any]

    @classmethod
    def of(cls, schema: pa.Schema, files: Sequence[FileEntry], provenance: Mapping[str, Any]) -> Manifest:
        """The manifest of parts of an Arrow schema."""
        return cls(schema=types_of(schema), files=tuple(files), provenance=provenance)

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(file.rows for file in self.files)

    @property
    def digest(self) -> str:
        """The hexadecimal SHA-256 digest of parts, schema and provenance: the data, wherever they are."""
        return hashlib.sha256(self.here().to_bytes()).hexdigest()

    def here(self) -> Manifest:
        """The same data with all parts in the folder."""
        return replace(self, files=tuple(file.here() for file in self.files))

    def to_bytes(self) -> bytes:
        """The content of ``manifest.json``; equal manifests give equal bytes."""
        content = {
            "rows": self.rows,
            "schema": dict(self.schema),
            "provenance": dict(self.provenance),
            "files": [file.plain() for file in self.files],
        }
        return (json.dumps(content, indent=2) + "\n").encode()

    def save(self, folder: str | Path) -> None:
        """Write ``manifest.json`` into a folder."""
        write_atomic(Path(folder) / MANIFEST, self.to_bytes())


def write_manifest(
    folder: str | Path, schema: pa.Schema, files: Sequence[FileEntry], provenance: Mapping[str, Any]
) -> Manifest:
    """Write ``manifest.json``, last, when all parts are in place."""
    manifest = Manifest.of(schema, files, provenance)
    manifest.save(folder)
    return manifest


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a data folder.

    Raises:
        PipelineError: when it is missing or is not one.
    """
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text())
        files = tuple(FileEntry(**file) for file in content["files"])
        return Manifest(schema=content["schema"], files=files, provenance=content["provenance"])
    except FileNotFoundError:
        raise PipelineError(
            f"expected data, got no {MANIFEST}, in {folder}: run `dvc repro` or `dvc checkout`"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise PipelineError(
            f"expected a manifest, got {error!r}, in {path}: run the stage that makes it again"
        ) from None


def check_provenance(manifest: Manifest, expected: Mapping[str, Any], folder: str | Path) -> None:
    """Refuse data that was made from something else than what is expected.

    Arguments:
        manifest: the manifest of ``folder``.
        expected: some or all keys of its provenance, such as ``{"generator": digest}``.
        folder: for the error.

    Raises:
        PipelineError: naming the first key that differs.
    """
    for key, value in expected.items():
        if (found := manifest.provenance.get(key)) != value:
            raise PipelineError(
                f"expected data made with {key} {_shorten(value)}, got {_shorten(found)}, in {folder}: "
                "params.yaml and the data do not belong together, run `dvc repro`"
            )


def types_of(schema: pa.Schema) -> dict[str, str]:
    """Column name → Arrow type."""
    return {field.name: str(field.type) for field in schema}


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…" if text.isalnum() else f"{text[:57]}…"
