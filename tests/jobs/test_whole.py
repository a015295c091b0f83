"""The whole pipeline on a cluster that shares no folder with this machine, with a bucket and MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.generators.pullback import load_metric
from tests.clones import make_clone, repro
from tests.mlflow_server import mlflow_server
from tests.tiny import PARAMS, fill_labels, make_tiny_project, run_stage

pytestmark = pytest.mark.slow  # minutes, and machines that start again and again
ONE = {"editor": {"styleae": PARAMS["editor"]["styleae"]}}
SAME = ("data/labels/manifest.json", "data/labels/part-00003.parquet", "models/styleae/weights.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The results of the same pipeline on this machine."""
    folder = make_tiny_project(tmp_path / "here", ONE)
    monkeypatch.chdir(folder)
    fill_labels()
    for command in (["pullback"], ["train", "styleae"]):
        run = run_stage(folder, *command)
        assert run.returncode == 0, run.stderr
    return folder


def test_the_whole_pipeline_runs_there_and_then_has_nothing_to_do(tmp_path, here, remote):
    with mlflow_server(tmp_path / "server") as server:
        clone = make_clone(tmp_path / "clone", {**ONE, "cluster": remote.cluster(), "tracking.uri": server})
        first = repro(clone, **remote.environment)
        assert first.count("submitted styleae-") == 5  # sample, label, pullback, train, evaluate
        assert [name for name in SAME if (clone / name).read_bytes() != (here / name).read_bytes()] == []
        assert load_metric(clone / "data/pullback").equal(load_metric(Path("data/pullback")))
        assert (clone / "comparison/table.csv").is_file() and (
            clone / "reports/styleae/explorer.html"
        ).is_file()
        client = MlflowClient(server)
        (model,) = client.search_registered_models()
        (version,) = client.search_model_versions(f"name = '{model.name}'")
        history = client.get_metric_history(version.run_id, "val_loss")
        assert [row.step for row in history] == list(range(4))
        again = repro(clone, **remote.environment)
        assert "▸" not in again
        assert remote.told(clone, tmp_path / "server", said=first + again) == []
