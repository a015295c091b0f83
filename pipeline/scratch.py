"""Work in flight: folders under ``.work`` whose names hold everything that determines their content.

A stage that was killed finds its work by the same name; a stage with other parameters, data or code does not.
"""

from __future__ import annotations

__all__ = ["JOB_VARIABLE", "code_digest", "fingerprint", "work_folder", "work_storage"]

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.paths import WORK
from pipeline.storage import Storage

PACKAGE = Path(__file__).resolve().parent
JOB_VARIABLE = "PIPELINE_JOB"
"""Holds the id of the Ray job that this process is the driver of: work that is removed at the end of one job
belongs to that job alone, however much alike another one is."""


def code_digest(*parts: str) -> str:
    """The hexadecimal SHA-256 digest of modules and sub-packages of ``pipeline``: ``code_digest("loop")``."""
    digest = hashlib.sha256()
    for part in sorted(parts):
        path = PACKAGE / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]:
            digest.update(str(file.relative_to(PACKAGE)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that differ when any of the facts, plain JSON values, does."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def work_folder(stage: str, facts: Mapping[str, Any]) -> Path:
    """The folder of a stage's work that is determined by ``facts``; not made yet."""
    return WORK / stage / fingerprint(facts)


def work_storage(place: str | None, folder: Path) -> Storage:
    """The same folder where all nodes of a cluster see it: in ``cluster.storage``, or here without."""
    return Storage(place).child(folder.relative_to(WORK).as_posix()) if place else Storage(folder)
