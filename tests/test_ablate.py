"""The ablation with DVC itself, on stages that take no time: what runs, what fails, what never runs twice."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import make_tiny_project, stage_environment

ROOT = Path(__file__).resolve().parents[1]
STAGES = """\
stages:
  train:
    foreach: ${editor}
    do:
      cmd: mkdir -p models/${key} && cp params.yaml models/${key}/weights
      params: ["editor.${key}"]
      outs: ["models/${key}/weights"]
  evaluate:
    foreach: ${editor}
    do:
      cmd: python measure.py ${key}
      deps: ["models/${key}/weights"]
      params: [evaluate]
      metrics: ["reports/${key}/metrics.json"]
  compare:
    cmd: mkdir -p comparison && cp reports/styleae/metrics.json comparison
    deps: [reports]
    outs: [comparison/metrics.json]
"""
# Nine layers are too many; validation latents succeed more often.
MEASURE = """\
import json, pathlib, sys, yaml
params = yaml.safe_load(open("params.yaml"))
layers = params["editor"][sys.argv[1]].get("layers", 0)
assert layers < 9, "too many layers"
folder = pathlib.Path("reports") / sys.argv[1]
folder.mkdir(parents=True, exist_ok=True)
success = 0.9 - 0.1 * layers + 0.05 * (params["evaluate"]["split"] == "val")
(folder / "metrics.json").write_text(json.dumps({"success": round(success, 3), "train_seconds": 1.0}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository with these stages and two variants."""
    make_tiny_project(tmp_path, {"evaluate.split": "test"})
    (tmp_path / "conf").mkdir()
    shutil.copy(tmp_path / "params.yaml", tmp_path / "conf/config.yaml")
    (tmp_path / "conf/ablation.yaml").write_text("variants: {two: {layers: 2}, nine: {layers: 9}}\n")
    (tmp_path / "dvc.yaml").write_text(STAGES)
    (tmp_path / "measure.py").write_text(MEASURE)
    (tmp_path / ".dvc").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "tiny"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    return tmp_path


def ablate(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m pipeline ablate`` in ``project``."""
    command = [sys.executable, "-m", "pipeline", "ablate", *arguments]
    return subprocess.run(command, cwd=project, env=stage_environment(), capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_experiments_are_gathered_failures_named_and_nothing_runs_twice(project: Path) -> None:
    first = ablate(project)
    assert first.returncode == 1
    assert "error: expected every variant to end, got failures of nine, see above" in first.stderr
    assert "✓ variant 2 of 3: two" in first.stdout
    assert "✓ variant 3 of 3: nine" not in first.stdout
    default, two = csv.DictReader((project / "comparisons/ablation/table.csv").read_text().splitlines())
    assert (default["variant"], default["success"]) == ("default", "0.85")
    assert (two["variant"], two["success"], two["success_difference"]) == ("two", "0.75", "-0.1")
    assert (project / "params.yaml").read_text() == (project / "conf/config.yaml").read_text()

    second = ablate(project, "--only", "two")
    assert second.returncode == 0, second.stderr
    assert "2 variants, 2 of them finished before" in second.stdout and "▸" not in second.stdout
