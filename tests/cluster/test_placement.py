"""Nodes with and without GPUs under one Ray: generators share GPUs, and nothing else takes them.

Ray counts the GPUs that a node declares and hands them out, whether the machine has any: what is tested here
is who gets them, not what they compute.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.tiny import stage_environment

CPUS, GPUS = 1, 2
PLACE = """
import json, shutil, sys
from pipeline.ray_environment import ALWAYS, LOCAL, set_environment
set_environment(ALWAYS | LOCAL)
import ray
from ray.cluster_utils import Cluster
from pipeline.capacity import fit
from pipeline.cluster import map_shards
from pipeline.resources import Actors
from tests.cluster.placed import PlacedActor

cpus, gpus, fits, asked = json.loads(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
found = {"gpu node": cluster.add_node(num_cpus=cpus, num_gpus=gpus).node_id}
ray.init(address=cluster.address, logging_level="ERROR", log_to_driver=False)
got = [fit(99, *each) for each in fits]
found["fits"] = [[each.processes, each.cpus, each.gpus] for each in got]
for name, actors in asked.items():
    actors = Actors(**actors)
    found[name] = map_shards([{}] * 4 * actors.actors, PlacedActor, {"meeting": actors.actors}, actors)
    shutil.rmtree("meeting")
ray.shutdown()
cluster.shutdown()
print(json.dumps(found))
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


def test_generators_hold_shares_of_gpus_and_other_work_none(tmp_path):
    asked = {
        "generators": {"actors": 2, "cpus": 0.5, "gpus": 0.5},
        "others": {"actors": 1, "cpus": 1, "gpus": 0},
    }
    fits = [fit for fit, _ in FITS.values()]
    run = subprocess.run(
        [sys.executable, "-c", PLACE, json.dumps([CPUS, GPUS, fits, asked])],
        cwd=tmp_path,
        env=stage_environment(),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    assert dict(zip(FITS, map(tuple, found["fits"]), strict=True)) == {n: f for n, (_, f) in FITS.items()}

    generators, others = found["generators"], found["others"]
    assert len({place["process"] for place in generators}) == 2
    assert {place["node"] for place in generators} == {found["gpu node"]}
    assert {(place["device"], place["gpus"]) for place in generators} == {("cuda", 0.5)}
    assert {tuple(place["ids"]) for place in generators} == {(0,)}  # the other GPU stays whole
    assert {(place["device"], place["gpus"]) for place in others} == {("cpu", 0)}
    assert found["gpu node"] not in {place["node"] for place in others}
