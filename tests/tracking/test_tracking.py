"""Where the store is, what happens when it is away, and live metrics that never hold a training up."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from pipeline import provenance
from pipeline.errors import PipelineError
from pipeline.mlflow_store import mlflow_errors, open_store, shown, store_of, tracking_uri
from pipeline.tracking import LiveRun, download_editor
from tests.ports import free_port

AUTHOR = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")


def history_of(store, run_id, name="loss"):
    return [(m.step, m.value) for m in MlflowClient(store.uri).get_metric_history(run_id, name)]


def test_a_relative_database_means_the_same_in_every_folder(project, monkeypatch, tmp_path):
    uri = tracking_uri(project)
    assert uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"


def test_the_environment_overrides_the_parameters(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:5000")
    store = store_of(project)
    assert (store.uri, store.artifacts) == ("http://elsewhere:5000", None)


def test_messages_hide_passwords():
    assert shown("https://me:secret@host/x") == "https://host/x"


def test_a_server_that_does_not_answer_is_refused_at_once(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(PipelineError, match="expected an MLflow server, got no answer"):
        open_store(project)
    assert time.monotonic() - started < 10


def test_a_damaged_database_is_one_line(project):
    Path("mlflow/mlflow.db").write_bytes(b"no database" * 100)
    store = open_store(project)
    with pytest.raises(PipelineError, match="MLflow refused") as caught, mlflow_errors(store.uri):
        MlflowClient(store.uri).search_experiments()
    assert "\n" not in str(caught.value)


def test_live_metrics_arrive_with_their_steps(project):
    live = LiveRun(store_of(project), "styleae", key="a")
    for step in range(1, 4):
        live.log({"loss": 1 / step, "val_loss": 2.0}, step)
    run_id = live.close()
    assert history_of(live.store, run_id) == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert MlflowClient(live.store.uri).get_run(run_id).info.run_name == "styleae"


def test_a_resumed_training_goes_on_in_the_same_run_without_repeated_steps(project):
    first = LiveRun(store_of(project), "styleae", key="a")
    first.log({"loss": 3.0}, 1)
    first.log({"loss": 2.0}, 2)
    run_id = first.close()
    second = LiveRun(store_of(project), "styleae", key="a")
    second.log({"loss": 2.0}, 2)
    second.log({"loss": 1.0}, 3)
    assert second.close() == run_id
    assert history_of(second.store, run_id) == [(1, 3.0), (2, 2.0), (3, 1.0)]


def origin_of(store, run_id):
    tags = MlflowClient(store.uri).get_run(run_id).data.tags
    return {name: tags[name] for name in tags if name.startswith(("dvc/", "git.", "mlflow.source.git"))}


def test_a_live_run_names_the_commit_and_the_data_that_it_reads(project, monkeypatch):
    for command in (["init", "-q"], ["add", "params.yaml"], [*AUTHOR, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    outs = [
        {"path": "data/labels", "md5": "1.dir"},
        {"path": "models/styleae/config.json", "md5": "of before"},
    ]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"label": {"outs": outs}}}))
    live = LiveRun(store_of(project), "styleae", key="a")
    origin = {"mlflow.source.git.commit": commit, "git.dirty": "true", "dvc/data/labels": "1.dir"}
    assert origin_of(live.store, live.close()) == origin

    # The same without a repository, from what a job gets along; a run that goes on names the last commit.
    for name, value in provenance.variables().items():
        monkeypatch.setenv(name, value)
    Path("dvc.lock").unlink()
    shutil.rmtree(".git")
    assert provenance.git_tags() | provenance.data_tags() == origin
    monkeypatch.setenv("PIPELINE_COMMIT", "c0ffee")
    monkeypatch.setenv("PIPELINE_DIRTY", "false")
    again = LiveRun(store_of(project), "styleae", key="a")
    changed = {"mlflow.source.git.commit": "c0ffee", "git.dirty": "false"}
    assert origin_of(again.store, again.close()) == origin | changed


def test_what_a_run_writes_is_no_change_of_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("comparisons/peers")
    (folder / "comparison").mkdir(parents=True)
    for command in (["init", "-q"], [*AUTHOR, "commit", "-qm", "none", "--allow-empty"]):
        subprocess.run(["git", *command], check=True)
    monkeypatch.chdir(folder)
    for made in ("dvc.lock", "../../dvc.lock", "comparison/report.md"):
        Path(made).touch()
    assert provenance.git_tags()["git.dirty"] == "false"
    Path("../../params.yaml").touch()
    assert provenance.git_tags()["git.dirty"] == "true"


def test_who_gives_a_commit_alone_says_nothing_of_changes(monkeypatch):
    monkeypatch.setenv("PIPELINE_COMMIT", "c0ffee")
    monkeypatch.delenv("PIPELINE_DIRTY", raising=False)
    assert provenance.git_tags() == {"mlflow.source.git.commit": "c0ffee"}


def test_a_store_that_is_away_is_one_warning_and_no_delay(project):
    away = replace(store_of(project), uri=f"http://127.0.0.1:{free_port()}", artifacts=None)
    with pytest.warns(RuntimeWarning, match="no live metrics in MLflow") as caught:
        live = LiveRun(away, "styleae", key="a")
        started = time.monotonic()
        for step in range(100):
            live.log({"loss": 1.0}, step)
        assert time.monotonic() - started < 1
        assert live.close() is None
    assert len(caught) == 1


def test_an_unknown_model_names_those_that_are_known(project):
    MlflowClient(store_of(project).uri).create_registered_model("other")
    with pytest.raises(PipelineError, match=r"got models:/styleae@champion.*known models are other"):
        download_editor("models:/styleae@champion", project)


def test_what_is_no_model_uri_is_refused(project):
    with pytest.raises(PipelineError, match=r"expected models:/<name>@<alias>"):
        download_editor("models:styleae", project)
