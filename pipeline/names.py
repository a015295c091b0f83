"""Names of editors: they become folders, stages of DVC and words of its commands, so they are plain words.

DVC puts them into a command as they are. ``python -m pipeline.names``, which ``dvc.yaml`` runs before such a
command, refuses what a shell would take for more than a word; it imports little, for it runs often.
"""

from __future__ import annotations

__all__ = ["EXPECTED", "is_plain", "main"]

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
EXPECTED = "expected a name of letters, digits, _, - and ."


def is_plain(name: object) -> bool:
    """Whether a name is safe in paths and commands."""
    return PLAIN.fullmatch(str(name)) is not None


def main() -> int:
    """Look at ``params.yaml``, and at ``trainings.yaml`` where there is one; the exit status."""
    for name, file in _names():
        if not is_plain(name):
            print(f"error: {EXPECTED}, got {str(name)!r}, in {file}: rename the editor", file=sys.stderr)
            return 1
    return 0


def _names() -> Iterator[tuple[object, str]]:
    """What DVC puts into commands, and the file that it comes from."""
    for name in yaml.safe_load(Path("params.yaml").read_text())["editor"]:
        yield name, "params.yaml"
    if (trainings := Path("trainings.yaml")).is_file():
        for training in yaml.safe_load(trainings.read_text())["trainings"].values():
            yield training["editor"], trainings.name
            yield training["seed"], trainings.name


if __name__ == "__main__":
    sys.exit(main())
