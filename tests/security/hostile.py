"""The corpus of hostile files, by name, always the same."""

from __future__ import annotations

__all__ = ["FOUND", "accepted_or_refused", "corpus", "genuine_files"]

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.security.genuine import nvidia, stream_of, torch_zip
from tests.security.hostile_files import damaged_files, hostile_files
from tests.security.hostile_imports import hostile_imports
from tests.security.hostile_modules import hostile_modules
from tests.security.hostile_pickles import hostile_pickles
from tests.security.hostile_tensors import hostile_tensors

FOUND = Path(__file__).parent / "corpus"  # what the fuzzer has found


def corpus() -> dict[str, bytes]:
    """Everything that must be refused."""
    return _by_name(hostile_imports, hostile_pickles, hostile_tensors, hostile_modules, hostile_files)


def accepted_or_refused() -> dict[str, bytes]:
    """What may be read, too, as the network that it was before it was damaged."""
    found = {f"found-{path.name}": path.read_bytes() for path in sorted(FOUND.glob("*.bin"))}
    return _by_name(damaged_files) | found


def genuine_files() -> dict[str, bytes]:
    """The files that hostile ones are made of, which are read."""
    return {
        "genuine-zip": torch_zip(),
        "genuine-stream": stream_of(),
        **{f"genuine-protocol{n}": nvidia(protocol=n) for n in (2, 3, 4, 5)},
    }


def _by_name(*families: Callable[[], Iterator[tuple[str, bytes]]]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for family in families:
        for name, content in family():
            assert name not in files, f"two files {name}"
            files[name] = content
    return files
