"""The zip archives that torch writes, read as plain bytes before torch sees them.

What has been looked at is packed anew: torch then reads exactly the records that were checked, and not what
its own, laxer reader of zip files might make of a file that was made to mislead.
"""

from __future__ import annotations

__all__ = ["pack_records", "read_records"]

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import PipelineError

EXPANSION = 8
"""Times the size of the file: what code and JSON may shrink by; weights are stored as they are."""


def read_records(path: Path) -> dict[str, bytes]:
    """Record name → content, in the order of the archive.

    Raises:
        PipelineError: when the file is no whole zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _refuse_bomb(archive, path)
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise PipelineError(
            f"expected an archive that torch has written, got a damaged or another file ({error}), "
            f"in {path}: save the model again"
        ) from None


def _refuse_bomb(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that unpacks to far more than the file: torch hardly compresses, if at all."""
    size, unpacked = path.stat().st_size, sum(entry.file_size for entry in archive.infolist())
    if unpacked > EXPANSION * size + 2**20:
        raise PipelineError(
            f"expected an archive of torch, got one of {size:,} bytes that unpacks to {unpacked:,}, "
            f"in {path}: it was made to exhaust its reader"
        )


def pack_records(records: Mapping[str, bytes]) -> io.BytesIO:
    """An archive of these records, uncompressed, as torch has them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer
