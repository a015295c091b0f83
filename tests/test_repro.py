"""The whole pipeline on a tiny project, as a user runs it: from nothing, then with nothing to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clones import make_clone, repro

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
    return make_clone(tmp_path_factory.mktemp("clone"))


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
