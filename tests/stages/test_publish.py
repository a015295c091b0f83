"""The publish stage as people run it: what it writes, prints, and refuses."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.paths import PUBLISH
from pipeline.weights import write_atomic
from tests.ports import free_port
from tests.tracking.conftest import migrated, project  # noqa: F401 - fixtures

ROOT = Path(__file__).parent.parent.parent


def publish(**environment: str) -> subprocess.CompletedProcess[str]:
    """Run the stage in the working directory."""
    return subprocess.run(
        [sys.executable, "-m", "stages.publish"],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.usefixtures("project")
def test_every_editor_is_published_in_few_quiet_lines():
    done = publish()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    published = json.loads(PUBLISH.read_text())
    assert set(published) == {"interfacegan", "styleae"}
    assert all(p["champion"] and p["version"] == "1" for p in published.values())
    assert "styleae: version 1, success 0.5, champion" in done.stdout
    assert not any(word in done.stdout for word in ("INFO", "WARNING", "Warning", "alembic", "View run"))
    with sqlite3.connect("mlflow/mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (2,)


@pytest.mark.usefixtures("project")
def test_a_server_that_is_away_is_one_line_and_leaves_everything():
    write_atomic(PUBLISH, b"earlier")
    done = publish(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: expected an MLflow server, got no answer")
    assert PUBLISH.read_text() == "earlier"
    assert Path("models/styleae/weights.safetensors").is_file()
