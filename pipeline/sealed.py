"""Parts of a data folder that are made one by one, in any order, by whoever may be killed at any time.

A part is finished when its seal is written, a small file that holds its manifest entry. Until all are there
they wait in a place of work, here or where all nodes see it, and whoever makes the same data finds the
finished ones by their seals. Then they become the data folder: by renaming, or, in a store elsewhere, by a
manifest that says where they stay.
"""

from __future__ import annotations

__all__ = ["SealedParts"]

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa

from pipeline.data import FileEntry, Manifest, new_folder, replace_folder, write_part
from pipeline.manifest import MANIFEST
from pipeline.storage import AT_ONCE, Storage


class SealedParts:
    """The parts of one data folder, in a place of work.

    Arguments:
        work: the place, whose name holds all that determines the parts.
    """

    def __init__(self, work: Storage) -> None:
        self.work, self.parts = work, work.child("parts")

    def write(self, name: str, table: pa.Table) -> FileEntry:
        """Write a part and seal it; its manifest entry."""
        entry = write_part(self.parts, name, table)
        self.work.write(_seal(name), json.dumps(entry.plain()).encode())
        return entry

    def finished(self, names: Sequence[str]) -> dict[str, FileEntry]:
        """The entries of those of the parts that are finished, and whose bytes are still there."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return {entry.name: entry for entry in pool.map(self._look, names) if entry}

    def publish(self, manifest: Manifest, target: Path) -> None:
        """Make the parts a data folder: they themselves, or what says where they stay.

        Arguments:
            manifest: of all parts.
            target: the folder, which appears whole or stays as it was.
        """
        if self.work.elsewhere:
            self.parts.write(MANIFEST, manifest.to_bytes())  # the last file: now others may read them there
            with new_folder(target) as folder:
                manifest.save(folder)
            return
        parts, known = Path(self.parts.path("")), {file.name for file in manifest.files}
        for leftover in [path for path in parts.iterdir() if path.name not in known]:
            leftover.unlink()
        manifest.save(parts)
        replace_folder(parts, target)
        self.work.delete()

    def _look(self, name: str) -> FileEntry | None:
        try:
            entry = FileEntry(**json.loads(self.work.read(_seal(name))))
            if self.work.elsewhere:  # nobody edits there; to read all again would take as long as making them
                return entry if self.parts.has(name, entry.size) else None
            return entry if hashlib.sha256(self.parts.read(name)).hexdigest() == entry.sha256 else None
        except (FileNotFoundError, TypeError, ValueError):
            return None


def _seal(name: str) -> str:
    """The file that says that a part is finished, and holds its manifest entry."""
    return f"seals/{name}.json"
