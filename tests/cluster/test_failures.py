"""What goes wrong while shards are mapped, on a real Ray: hung and dying actors, no memory, two runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from pipeline.labelling import LabelActor
from pipeline.local_head import VARIABLE
from tests.cluster.conftest import title_of
from tests.cluster.test_labelling import LABELS, SHARDS, contents, seals
from tests.cluster.trainings import history, reported, training
from tests.fakes import HungryActor
from tests.mlflow_server import mlflow_server
from tests.tiny import fill_labels, fill_metric, make_tiny_project, stage_command, stage_environment

IN_FLIGHT = LabelActor.at_once + 1  # shards that an actor has


@pytest.fixture
def expected(project):
    """The labels as they must be; the project is one whose labels are missing."""
    make_tiny_project(project, {"sample.count": 5 * SHARDS, "sample.shard_rows": 5})
    give_up_after(3)
    fill_labels()
    made = contents(LABELS)
    os.rename(LABELS, "expected")
    return made


def give_up_after(seconds: int) -> None:
    """Label with two actors, each of which is killed when it hangs for so long."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["cluster"]["label"] = {"actors": 2, "cpus": 0.5, "gpus": 0, "hang_seconds": seconds}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def labelling():
    """The stage, running, with its output to be read."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(stage_command("label"), env=stage_environment(), **pipes)


def both_actors(run: subprocess.Popen[str], find_process) -> list[int]:
    """The processes of the actors, when both are there and a shard is finished."""
    while not seals() or len(found := find_process("MapWorker")) < 2:
        assert run.poll() is None, run.communicate()
        time.sleep(0.005)
    return found


def test_a_hung_actor_holds_up_its_own_shards_alone_and_is_replaced(expected, find_process):
    with labelling() as run:
        hung = both_actors(run, find_process)[0]
        os.kill(hung, signal.SIGSTOP)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    assert contents(LABELS) == expected
    while title_of(hung):  # its watch ends it, if Ray has not
        time.sleep(0.1)


def test_a_slow_actor_holds_up_its_own_shards_alone(expected, find_process):
    give_up_after(600)
    with labelling() as run:
        slow = both_actors(run, find_process)[0]
        os.kill(slow, signal.SIGSTOP)
        while len(seals()) < SHARDS - IN_FLIGHT:
            assert run.poll() is None, run.communicate()
            time.sleep(0.01)
        os.kill(slow, signal.SIGCONT)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    assert contents(LABELS) == expected


def test_an_actor_that_is_killed_is_replaced(expected, find_process):
    with labelling() as run:
        for kills in range(3):
            while len(seals()) <= 10 * kills and run.poll() is None:
                time.sleep(0.005)
            for actor in find_process("MapWorker")[:1]:
                os.kill(actor, signal.SIGKILL)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    assert contents(LABELS) == expected


def test_of_two_runs_at_once_the_second_waits_and_finds_the_work_done(expected):
    with labelling() as first, labelling() as second:
        said = [run.communicate()[0] for run in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("label runs already: waiting for its end" in text for text in said) == 1
    assert contents(LABELS) == expected


MAP = """
import json
from pathlib import Path

from pipeline import cluster
from pipeline.console import run_stage
from pipeline.resources import Actors, ClusterParams
from tests.fakes import {actor}

cluster.RETRIES = 1

def main():
    with cluster.connect(ClusterParams()):
        made = cluster.map_shards([{{"n": n}} for n in range(3)], {actor}, {{}}, Actors(actors=1, gpus=0))
    Path("made.json").write_text(json.dumps(made))

cluster.run_and_exit(run_stage(main))
"""


@pytest.mark.parametrize(
    ("actor", "error"),
    [("GreedyActor", "expected memory for a batch"), ("DyingActor", "expected processes that finish")],
)
def test_what_no_new_try_can_mend_ends_in_one_line(project, actor, error):
    script = project / "map.py"
    script.write_text(MAP.format(actor=actor))
    run = subprocess.run([sys.executable, script], env=stage_environment(), capture_output=True, text=True)
    assert run.returncode == 1, run.stderr
    assert run.stderr.startswith(f"error: {error}") and run.stderr.count("\n") == 1, run.stderr


def test_an_actor_that_takes_too_much_memory_is_killed_and_replaced(project, monkeypatch):
    monkeypatch.delenv(VARIABLE)  # a Ray of its own, whose node watches its memory more closely
    script = project / "map.py"
    script.write_text(MAP.format(actor="HungryActor"))
    allowed = (get_used_memory() + HungryActor.MOST / 2) / get_system_memory()
    limits = {"RAY_memory_usage_threshold": f"{allowed:.4f}", "RAY_memory_monitor_refresh_ms": "50"}
    run = subprocess.run(
        [sys.executable, script], env=stage_environment(**limits), capture_output=True, text=True
    )
    assert (run.returncode, run.stderr) == (0, "")
    made, hungry = json.loads(Path("made.json").read_text()), int(Path("hungry").read_text())
    assert len(made) == 3 and hungry not in [result["process"] for result in made]


def test_a_training_goes_on_when_its_mlflow_server_dies(project, tmp_path_factory):
    with contextlib.ExitStack() as server:
        address = server.enter_context(mlflow_server(tmp_path_factory.mktemp("mlflow")))
        longer = {"editor.styleae.epochs": 60, "editor.styleae.patience": 60}
        make_tiny_project(project, {"tracking.uri": address, **longer})
        fill_labels()
        fill_metric()
        with training(until=reported) as run:
            server.close()
            _, errors = run.communicate()
    assert run.returncode == 0 and "no live metrics in MLflow" in errors, errors
    assert len(history()) == 60
