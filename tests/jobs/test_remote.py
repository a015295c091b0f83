"""Stages on a cluster that shares no folder with this machine: the bytes are those of a run here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from pipeline.data import read_manifest, read_table
from pipeline.editors import load_editor
from pipeline.jobs.submitting import CODE
from pipeline.weights import load_weights, save_weights
from tests.jobs.conftest import SECRETS
from tests.tiny import (
    ROOT,
    fill_labels,
    fill_latents,
    fill_metric,
    make_tiny_project,
    run_stage,
    stage_command,
    stage_environment,
)

LABELS = Path("data/labels")
MANY = {"sample.count": 300, "sample.shard_rows": 5}


@pytest.fixture
def project(tmp_path, monkeypatch, remote):
    """A tiny project whose heavy stages go to the cluster."""
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    make_tiny_project(tmp_path, {"cluster": remote.cluster()})
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected_labels() -> dict[str, bytes]:
    """What labelling here gives, which is then out of the way."""
    fill_labels()
    expected = contents(LABELS)
    LABELS.rename("expected")
    return expected


def change(section: str, **values: object) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(params))


def test_both_nodes_make_the_labels_that_are_made_here(project, remote):
    make_tiny_project(project, {"cluster": remote.cluster(), **MANY})
    expected = expected_labels()
    run = run_stage(project, "label", **remote.environment)
    assert run.returncode == 0 and run.stderr == "", run.stdout + run.stderr
    assert contents(LABELS) == expected
    assert "▸ label" in run.stdout and "/300 rows" in run.stdout
    assert all(
        list(remote.folder.glob(f"{node}/styleae-trees-*/*/params.yaml")) for node in ("head", "worker")
    )

    # Large results stay where they are, and are read from there; what was made is not made again.
    change("cluster", bring_home_mib=0)
    again = run_stage(project, "label", **remote.environment)
    assert again.returncode == 0 and "submitted" not in again.stdout, again.stdout + again.stderr
    assert list(contents(LABELS)) == ["manifest.json"]
    assert read_manifest(LABELS).here().to_bytes() == expected["manifest.json"]
    assert read_table(LABELS).equals(read_table("expected"))

    # Whoever sees the project, the bucket or the log of a node sees no secret.
    assert len([name for name in remote.logs() if name.startswith("/proc/")]) > 5 < len(remote.logs()) / 2
    assert remote.told(project, said=run.stdout + again.stdout) == []


def test_a_job_is_stopped_with_its_stage_and_found_again_when_the_stage_is_lost(project, remote):
    make_tiny_project(project, {"cluster": remote.cluster(), **MANY, "sample.seed": 1})
    expected = expected_labels()

    def start():
        environment = stage_environment(**remote.environment)
        return subprocess.Popen(stage_command("label"), env=environment, stdout=subprocess.PIPE, text=True)

    with start() as stopped:
        first = job_of(stopped)
        stopped.send_signal(signal.SIGTERM)
        stopped.communicate(timeout=120)
    assert stopped.returncode == 130
    assert statuses(remote)[first] == "STOPPED"
    assert not LABELS.exists()

    with start() as lost:
        second = job_of(lost)
        lost.kill()
    assert f"{second}: a job that runs, sent from this folder" in clean(remote)
    again = run_stage(project, "label", **remote.environment)
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{second} runs already" in again.stdout and "submitted" not in again.stdout
    assert contents(LABELS) == expected
    assert {first.rpartition(".")[0], second.rpartition(".")[0]} == {second.removesuffix(".2")}


def clean(remote, *options: str) -> str:
    command = [sys.executable, "-m", "pipeline", "clean", *options]
    environment = stage_environment(**remote.environment)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def job_of(run: subprocess.Popen[str]) -> str:
    """The job of a stage, when it has submitted one."""
    return next(line for line in iter(run.stdout.readline, "") if "submitted" in line).split()[-1]


def statuses(remote) -> dict[str, str]:
    request = urllib.request.Request(
        f"{remote.address}/api/jobs/",
        headers={"Authorization": f"Bearer {remote.environment['RAY_AUTH_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {job["submission_id"]: job["status"] for job in json.load(answer)}


def test_stages_are_submitted_by_hand_and_what_they_made_comes_home(project, remote):
    """With code and parameters, and no data: what the first stage makes on one node reaches the other."""
    make_tiny_project(project, {"cluster": remote.cluster(), "sample.seed": 3})
    expected = expected_labels()
    sent = project / "sent"
    sent.mkdir()
    for name in (*CODE, "models", "params.yaml"):
        source = (ROOT if name in CODE else project) / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, sent / name)
    stages = "python -m stages.sample && python -m stages.label"
    submit = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", remote.address]
    done = subprocess.run(
        [*submit, "--working-dir", str(sent), "--", "sh", "-c", stages],
        env={**os.environ, **remote.environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "brought home" in done.stdout, done.stdout + done.stderr
    home = run_stage(project, "label", **remote.environment)
    assert home.returncode == 0 and "submitted" not in home.stdout, home.stdout + home.stderr
    assert contents(LABELS) == expected


def test_the_words_of_a_command_stay_words(project, remote):
    word = "a  b; echo $HOME `id` 'c'"
    code = (
        "import sys; from pipeline.jobs.watching import Cluster; "
        "Cluster(sys.argv[1], 60).run('words', sys.argv[2:], {})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, remote.address, "printf", "<%s>\n", word],
        env=stage_environment(**remote.environment),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and f"<{word}>" in done.stdout.splitlines(), done.stdout + done.stderr


def test_an_editor_is_trained_and_evaluated_there(project, remote):
    store = f"sqlite:///{project}/mlflow/mlflow.db"  # the node that leads sees it
    change("cluster", runtime_env={"env_vars": {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": store}})
    fill_labels()
    fill_metric()
    outs = [{"path": "data/labels", "md5": "1.dir"}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"label": {"outs": outs}}}))
    Path("mlflow").mkdir()
    for stage in ("train", "evaluate"):
        run = run_stage(project, stage, "styleae", **remote.environment, PIPELINE_COMMIT="c0ffee")
        assert run.returncode == 0 and run.stderr == "", run.stdout + run.stderr
    assert load_editor("models/styleae").columns == tuple(read_manifest(LABELS).provenance["columns"])
    assert json.loads(Path("reports/styleae/metrics.json").read_text())["count"] == 4
    assert Path("reports/styleae/explorer.html").is_file()
    live = MlflowClient(store).get_run(json.loads(Path("models/styleae/run.json").read_text())["run_id"])
    assert live.data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert live.data.tags["dvc/data/labels"] == "1.dir"
    assert "git.dirty" not in live.data.tags and "val_loss" in live.data.metrics


def test_the_last_line_is_the_jobs_own_error(project, remote):
    weights = load_weights("models/tiny/labeler")
    broken = {**weights.tensors, "scale": weights.tensors["scale"] * float("nan")}
    save_weights("models/tiny/labeler", broken, weights.config)
    fill_latents()
    run = run_stage(project, "label", **remote.environment)
    assert run.returncode == 1
    assert run.stderr.startswith("error: expected finite numbers for the labels")
    assert run.stderr.count("\n") == 1 and "error:" not in run.stdout
    assert not LABELS.exists()


@pytest.mark.parametrize("token", ["wrong" * 8, ""])
def test_who_has_not_the_token_is_told_what_to_do_and_sends_nothing(project, remote, token, tmp_path):
    make_tiny_project(project, {"cluster": remote.cluster(), "sample.seed": 2})  # nobody has labelled these
    fill_latents()
    run = run_stage(
        project, "label", **{**remote.environment, "RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    )
    assert run.returncode == 1
    assert "RAY_AUTH_TOKEN_PATH" in run.stderr and run.stderr.count("\n") == 1, run.stderr
