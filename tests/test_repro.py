"""The whole pipeline on a tiny project, as a user runs it: from nothing, then with nothing to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import make_tiny_project

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pipeline", "stages", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore")
MADE = (
    "data/labels/manifest.json",
    "data/pullback",
    "models/styleae/weights.safetensors",
    "models/interfacegan/run.json",
    "reports/styleae/explorer.html",
    "reports/interfacegan/metrics.json",
    "comparison/table.csv",
    "mlflow/published.json",
)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository with the code and a tiny project."""
    clone = tmp_path_factory.mktemp("clone")
    for name in SOURCES:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, clone / name)
    make_tiny_project(clone)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "tiny"]):
        subprocess.run([*git, *command], cwd=clone, check=True)
    return clone


def repro(clone: Path) -> str:
    """What ``python -m pipeline repro`` prints; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "repro"],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_a_clone_runs_once_and_then_has_nothing_to_do(clone: Path) -> None:
    first = repro(clone)
    assert all((clone / made).exists() for made in MADE)
    assert "reports/styleae/explorer.html" in first
    published = (clone / "mlflow/published.json").read_bytes()
    second = repro(clone)
    assert "▸" not in second
    assert "interfacegan" in second
    assert (clone / "mlflow/published.json").read_bytes() == published
    assert not subprocess.run(
        ["git", "status", "--porcelain", "data", "models", "reports"], cwd=clone, capture_output=True
    ).stdout
