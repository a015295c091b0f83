"""Stages that map over shards, on a real Ray; the bytes are those of a run without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pipeline.generators.pullback import load_metric
from pipeline.weights import load_weights, save_weights
from tests.tiny import (
    fill_labels,
    fill_latents,
    make_tiny_project,
    run_stage,
    stage_command,
    stage_environment,
)

SHARDS = 60
LABELS = Path("data/labels")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def set_actors(count: int) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    for stage in ("label", "pullback"):
        params["cluster"][stage] = {"actors": count, "cpus": 0.5, "gpus": 0}
    Path("params.yaml").write_text(yaml.safe_dump(params))


def seals() -> list[Path]:
    return list(Path(".work/label").glob("*/seals/*.json"))


def test_killed_and_resumed_with_other_actors_gives_the_same_bytes(project):
    make_tiny_project(project, {"sample.count": 5 * SHARDS, "sample.shard_rows": 5})
    fill_labels()
    expected = contents(LABELS)
    os.rename(LABELS, "expected")

    set_actors(2)
    with subprocess.Popen(stage_command("label"), env=stage_environment(), stdout=subprocess.DEVNULL) as run:
        while not seals() and run.poll() is None:
            time.sleep(0.005)
        run.kill()
    time.sleep(1)  # what was in flight may still arrive
    done = {path.name.removesuffix(".json") for path in seals()}
    assert 0 < len(done) < SHARDS
    assert not LABELS.exists()
    written = {name: next(Path(".work/label").glob(f"*/parts/{name}")).stat().st_mtime_ns for name in done}

    set_actors(1)
    resumed = run_stage(project, "label")
    assert resumed.returncode == 0, resumed.stderr
    assert contents(LABELS) == expected
    assert {name: (LABELS / name).stat().st_mtime_ns for name in done} == written
    assert resumed.stderr == ""


MAP_IN_PAIRS = """
import json
from pipeline.cluster import connect, map_shards, run_and_exit
from pipeline.resources import Actors, ClusterParams
from tests.fakes import MeetingActor

def main():
    with connect(ClusterParams()):
        shards = [{"n": n} for n in range(4)]
        print(json.dumps(map_shards(shards, MeetingActor, {}, Actors(actors=1, gpus=0))))
    return 0

run_and_exit(main)
"""


def test_an_actor_gets_as_many_shards_at_once_as_it_asks_for_each_in_one_thread_of_torch(project):
    run = subprocess.run(
        [sys.executable, "-c", MAP_IN_PAIRS], env=stage_environment(), capture_output=True, text=True
    )
    assert json.loads(run.stdout) == [{"n": n, "threads": 1} for n in range(4)], run.stderr


def test_scores_that_are_no_numbers_are_refused_in_one_line(project):
    make_tiny_project(project)
    weights = load_weights("models/tiny/labeler")
    broken = {**weights.tensors, "scale": weights.tensors["scale"] * float("nan")}
    save_weights("models/tiny/labeler", broken, weights.config)
    fill_latents()
    run = run_stage(project, "label")
    assert run.returncode == 1
    assert (
        run.stderr.startswith("error: expected finite numbers for the labels") and run.stderr.count("\n") == 1
    )
    assert not LABELS.exists()


def test_metric_does_not_depend_on_the_number_of_actors(project):
    make_tiny_project(project)
    metrics = []
    for actors in (1, 2):
        set_actors(actors)
        run = run_stage(project, "pullback")
        assert run.returncode == 0, run.stderr
        metrics.append(load_metric("data/pullback"))
    assert metrics[0].equal(metrics[1])
