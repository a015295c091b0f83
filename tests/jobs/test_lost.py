"""What is lost while a job labels: a node, the head, its supervisor, the ways to cluster and storage."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector, FileType

from pipeline.storage import Storage
from tests.cluster.conftest import processes_with, title_of
from tests.cluster.test_labelling import LABELS, contents
from tests.jobs.cluster import stopped
from tests.jobs.conftest import SECRETS, Remote, machines
from tests.ports import free_port
from tests.tiny import fill_labels, make_tiny_project, run_stage, stage_command, stage_environment

pytestmark = pytest.mark.slow  # minutes, and machines that start again and again
SHARDS = 60
IN_FLIGHT = 6  # two actors, each with two shards at once and one that waits


@pytest.fixture(scope="module")
def nodes():
    """The machines, of which tests take some away."""
    with machines() as found:
        yield found


@pytest.fixture
def cluster(nodes):
    """Both machines, up again if the last test has taken one."""
    if nodes.alive() < 1:
        nodes.start_head()
    if nodes.alive() < 2:
        nodes.start_worker()
    return nodes


@pytest.fixture
def remote(cluster, bucket):
    """What a user has of it, with a place of its own in the bucket."""
    place = bucket.replace("/project?", f"/{secrets.token_hex(4)}?")
    return Remote(cluster.address, place, cluster.environment, cluster.folder)


@pytest.fixture
def expected(tmp_path, monkeypatch, remote):
    """The labels as they must be; the working directory is a project that has none."""
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    make(remote)
    fill_labels()
    made = contents(LABELS)
    LABELS.rename("expected")
    return made


def make(remote: Remote, **cluster: object) -> None:
    """The project; the cluster's section may differ."""
    shards = {"sample.count": 5 * SHARDS, "sample.shard_rows": 5}
    make_tiny_project(Path.cwd(), {"cluster": remote.cluster() | cluster, **shards})


def labelling(remote: Remote) -> subprocess.Popen[str]:
    """The stage, running, with its output to be read."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(stage_command("label"), env=stage_environment(**remote.environment), **pipes)


def seals(remote: Remote) -> dict[str, object]:
    """When each shard was finished."""
    storage = Storage(remote.storage)
    selector = FileSelector(storage.path("label"), recursive=True, allow_not_found=True)
    found = storage.filesystem.get_file_info(selector)
    return {file.path: file.mtime for file in found if file.type == FileType.File and "/seals/" in file.path}


def some_done(remote: Remote, run: subprocess.Popen[str], least: int = 5) -> dict[str, object]:
    """The shards that are finished, when there are a few."""
    while len(done := seals(remote)) < least:
        assert run.poll() is None, run.communicate()
        time.sleep(0.1)
    assert len(done) < SHARDS
    return done


def done_again(remote: Remote, before: dict[str, object]) -> int:
    """How many shards that were finished before were made once more."""
    now = seals(remote)
    assert len(now) == SHARDS
    return sum(now[name] != made for name, made in before.items())


def finish(run: subprocess.Popen[str]) -> str:
    """What a run that succeeds says."""
    said, errors = run.communicate()
    assert (run.returncode, errors) == (0, ""), said + errors
    return said


def test_a_lost_node_is_done_without(cluster, remote, expected):
    with labelling(remote) as run:
        done = some_done(remote, run)
        cluster.lose_worker()
        said = finish(run)
    assert "! Ray: " in said and max(map(len, said.splitlines())) < 300  # none of Ray's pages of state
    assert contents(LABELS) == expected
    assert done_again(remote, done) <= IN_FLIGHT


def test_a_job_without_its_supervisor_leaves_nothing_and_is_taken_up(cluster, remote, expected):
    with labelling(remote) as run:
        done = some_done(remote, run)
        cluster.kill("head", "JobSupervisor")
        said, errors = run.communicate()
    assert run.returncode == 1
    assert errors.startswith("error: expected a job that ends, got") and errors.count("\n") == 1
    while any("pipeline.jobs.running" in title_of(pid) for pid in processes_with(remote.storage)):
        time.sleep(0.5)  # the job's own processes end without it
    assert finish(labelling(remote)).count("submitted") == 1
    assert contents(LABELS) == expected
    assert done_again(remote, done) == 0


def test_a_lost_head_is_one_line_and_a_new_cluster_goes_on(cluster, remote, expected):
    make(remote, connect_timeout=5)
    with labelling(remote) as run:
        done = some_done(remote, run)
        cluster.kill("head")
        said, errors = run.communicate()
    assert run.returncode == 1
    assert errors.startswith("error: expected a Ray cluster, got") and errors.count("\n") == 1
    cluster.kill("worker")
    cluster.start_head()
    finish(labelling(remote))
    assert contents(LABELS) == expected
    assert done_again(remote, done) == 0


@pytest.mark.parametrize("way", ["cluster", "storage"])
def test_a_way_that_is_cut_for_a_while_is_waited_for(cluster, remote, expected, way):
    port, target = free_port(), cluster.dashboard
    if way == "cluster":
        make(replace(remote, address=f"http://127.0.0.1:{port}"))
    else:
        target = int(remote.storage.rpartition(":")[2])
        make(replace(remote, storage=remote.storage.replace(str(target), str(port))))
    relay = [sys.executable, "-m", "tests.jobs.relay", str(port), str(target)]
    options = {"cwd": Path(__file__).parents[2]}
    with stopped(relay, **options) as whole, labelling(remote) as run:
        some_done(remote, run)
        whole.kill()
        time.sleep(20)
        with stopped(relay, **options):
            finish(run)
    assert contents(LABELS) == expected


def test_a_full_disk_is_named_with_its_machine(cluster, remote, expected):
    cluster.lose_worker()
    cluster.start_worker(disk="64k")
    run = run_stage(Path.cwd(), "label", **remote.environment)
    cluster.lose_worker()
    assert run.returncode == 1
    assert run.stderr.startswith("error: no space left on the device, in ") and run.stderr.count("\n") == 1
    assert f" on {os.uname().nodename}" in run.stderr
    finish(labelling(remote))
    assert contents(LABELS) == expected
