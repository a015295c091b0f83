"""The comparison in a real local store: recorded once, found the second time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.errors import PipelineError
from pipeline.mlflow_store import store_of
from pipeline.recording import record_comparison
from stages import record
from tests.ports import free_port

COMPARISON = Path("comparison")
TABLE = """editor,success,success_low,success_high,rare/rmse,train_seconds
styleae,0.95,0.9,0.99,0.125,60.5
interfacegan,0.5,0.4,0.6,,1
"""


@pytest.fixture
def compared(project):
    """The parameters of a project with a comparison."""
    (COMPARISON / "figures/failures").mkdir(parents=True)
    (COMPARISON / "table.csv").write_text(TABLE)
    (COMPARISON / "report.md").write_text("# Editors side by side\n")
    (COMPARISON / "figures/failures/styleae.png").write_bytes(b"a picture")
    return project


def runs_of(params):
    """Every run of the experiment."""
    client = MlflowClient(store_of(params).uri)
    return client.search_runs([client.get_experiment_by_name("tiny").experiment_id])


def test_a_comparison_is_one_run_with_its_numbers_and_files(compared):
    recorded = record_comparison(store_of(compared), COMPARISON)
    [run] = runs_of(compared)
    assert recorded.new and recorded.run_id == run.info.run_id
    assert (run.info.run_name, run.info.status) == ("comparison", "FINISHED")
    assert run.data.metrics == {
        "success/styleae": 0.95,
        "success/interfacegan": 0.5,
        "rare/rmse/styleae": 0.125,
        "train_seconds/styleae": 60.5,
        "train_seconds/interfacegan": 1.0,
    }
    assert "report.md" in run.data.tags["mlflow.note.content"]
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    assert files == {
        path.relative_to(COMPARISON).as_posix(): path.read_bytes() for path in COMPARISON.rglob("*.*")
    }


def test_the_same_comparison_is_found_the_second_time(compared):
    first = record_comparison(store_of(compared), COMPARISON)
    shutil.move(COMPARISON, "elsewhere")  # what it holds counts, not where and when
    again = record_comparison(store_of(compared), Path("elsewhere"))
    assert (again.run_id, again.new) == (first.run_id, False)
    assert len(runs_of(compared)) == 1


@pytest.mark.parametrize("change", ["table.csv", "figures/failures/styleae.png", "figures/new.png"])
def test_another_comparison_is_another_run(compared, change):
    record_comparison(store_of(compared), COMPARISON)
    with open(COMPARISON / change, "a") as file:
        file.write("ridge,0.7,0.6,0.8,0.1,2\n")
    assert record_comparison(store_of(compared), COMPARISON).new
    assert len(runs_of(compared)) == 2


def test_a_run_that_was_broken_off_is_completed(compared, monkeypatch):
    def broken(*arguments):
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", broken)
        with pytest.raises(OSError, match="no room"):
            record_comparison(store_of(compared), COMPARISON)
    (broken_off,) = runs_of(compared)
    recorded = record_comparison(store_of(compared), COMPARISON)
    (run,) = runs_of(compared)
    assert (recorded.run_id, recorded.new) == (broken_off.info.run_id, True)
    assert (broken_off.info.status, run.info.status) == ("RUNNING", "FINISHED")
    assert not record_comparison(store_of(compared), COMPARISON).new


def test_nothing_to_record_is_refused(project):
    with pytest.raises(PipelineError, match="expected a comparison, got none, in comparison: run `dvc repro"):
        record_comparison(store_of(project), COMPARISON)


def test_the_stage_notes_the_run(compared, capsys):
    assert record.main() == 0 == record.main()
    noted = json.loads(Path("mlflow/recorded.json").read_text())
    assert noted == {"run_id": runs_of(compared)[0].info.run_id, "new": False}
    printed = capsys.readouterr().out
    assert "experiment 'tiny'" in printed and ", known already" in printed


def test_a_server_that_is_away_is_one_line_and_leaves_no_note(compared, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert record.main() == 1
    error = capsys.readouterr().err
    assert "expected an MLflow server, got no answer" in error and error.count("\n") == 1
    assert not Path("mlflow/recorded.json").exists()
