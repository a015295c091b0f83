"""Nodes with and without GPUs under one Ray: generators share GPUs, and nothing else takes them.

Ray counts the GPUs that a node declares and hands them out, whether the machine has any: what is tested here
is who gets them, not what they compute.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cluster.nodes import joined
from tests.tiny import fill_labels, make_tiny_project, run_stage, stage_environment

CPUS, GPUS = 1, 2
PLACE = """
import json, shutil, sys
import ray
from pipeline.capacity import fit
from pipeline.cluster import connect, map_shards, run_and_exit
from pipeline.resources import Actors, ClusterParams
from tests.cluster.placed import PlacedActor

def main():
    with connect(ClusterParams()):
        found = {"fits": [vars_of(fit(99, *asked)) for asked in json.loads(sys.argv[1])]}
        for name, actors in json.loads(sys.argv[2]).items():
            shutil.rmtree("meeting", ignore_errors=True)
            asked = Actors(**actors)
            shards = [{} for _ in range(4 * asked.actors)]
            found[name] = map_shards(shards, PlacedActor, {"meeting": asked.actors}, asked)
        print(json.dumps(found))
    return 0

def vars_of(got):
    return [got.processes, got.cpus, got.gpus]

run_and_exit(main)
"""
FITS = {
    # (actors, CPUs, GPUs) → how many fit, and what each gets
    "a whole one where there is one": (("auto", 0.1, "auto"), (2, 0.1, 1.0)),
    "halves": (("auto", 0.1, 0.5), (4, 0.1, 0.5)),
    "a share is of one GPU, not of two": (("auto", 0.1, 0.6), (2, 0.1, 0.6)),
    "as many as the CPUs beside the GPUs": (("auto", 0.1, 0.1), (10, 0.1, 0.1)),
    "no more CPUs than are beside the GPUs": (("auto", 2, 1), (1, CPUS, 1.0)),
    "both of one node": (("auto", 0.1, 2), (1, 0.1, 2.0)),
}


@pytest.fixture(scope="module")
def gpu_node(ray_head):
    """A node with GPUs, beside the one without."""
    with joined(CPUS, GPUS) as node:
        yield node


def test_generators_hold_shares_of_gpus_and_other_work_none(project, gpu_node):
    asked = {
        "generators": {"actors": 2, "cpus": 0.5, "gpus": 0.5},
        "others": {"actors": 1, "cpus": 1, "gpus": 0},
    }
    fits = [fit for fit, _ in FITS.values()]
    run = subprocess.run(
        [sys.executable, "-c", PLACE, json.dumps(fits), json.dumps(asked)],
        env=stage_environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert dict(zip(FITS, map(tuple, found["fits"]), strict=True)) == {n: f for n, (_, f) in FITS.items()}

    generators, others = found["generators"], found["others"]
    assert len({place["process"] for place in generators}) == 2
    assert {place["node"] for place in generators} == {gpu_node.id}
    assert {(place["device"], place["gpus"]) for place in generators} == {("cuda", 0.5)}
    assert {tuple(place["ids"]) for place in generators} == {(0,)}  # the other GPU stays whole
    assert {(place["device"], place["gpus"]) for place in others} == {("cpu", 0)}


def test_a_closed_form_takes_no_gpu_where_there_is_one(project, gpu_node):
    """It could not: there is no CUDA here."""
    make_tiny_project(project, {"cluster.train.gpus": "auto", "cluster.train.workers": "auto"})
    fill_labels()
    run = run_stage(project, "train", "interfacegan")
    assert (run.returncode, run.stderr) == (0, "")
