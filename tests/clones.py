"""A git repository with the code and a tiny project, and the whole pipeline in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.tiny import ROOT, make_tiny_project

SOURCES = ("pipeline", "stages", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")


def make_clone(folder: Path, overrides: dict[str, Any] | None = None) -> Path:
    """Make the repository in an empty folder; ``overrides`` as for ``make_tiny_project``."""
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    make_tiny_project(folder, overrides)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "tiny"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder


def repro(clone: Path, **variables: str) -> str:
    """What ``python -m pipeline repro`` prints; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "repro"],
        cwd=clone,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
