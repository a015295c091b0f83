"""A training goes on with fewer workers when a node is lost, and with more when one comes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from itertools import groupby

import pytest

from pipeline.ray_environment import LOCAL
from tests.cluster.trainings import (
    assert_curve,
    change_cluster,
    history,
    ready_for,
    reported,
    train_without_ray,
    training,
)
from tests.tiny import ROOT, stage_environment

pytestmark = pytest.mark.slow  # Ray looks every few seconds whether there is room for more
EPOCHS = 400
# A head with one CPU; each line on the standard input adds a node with another one, or takes it away.
NODES = """
import sys
from pipeline.ray_environment import ALWAYS, LOCAL, set_environment
set_environment(ALWAYS | LOCAL)
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
print(cluster.address, flush=True)
node = None
for line in sys.stdin:
    node = cluster.remove_node(node, allow_graceful=False) if node else cluster.add_node(num_cpus=1)
    print("done", flush=True)
cluster.shutdown()
"""


@pytest.fixture
def nodes():
    """The process that holds the nodes."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", NODES]
    with subprocess.Popen(command, env=stage_environment(), cwd=ROOT, **pipes) as process:
        yield process
        process.stdin.close()


def change_nodes(nodes: subprocess.Popen[str]) -> None:
    """Add the second node, or take it away, and wait until it is done."""
    nodes.stdin.write("\n")
    nodes.stdin.flush()
    assert nodes.stdout.readline() == "done\n"


def trained_by(number: int, epochs: int = 3) -> Callable[[], bool]:
    """Whether the last epochs are the work of so many workers."""
    return lambda: [row["workers"] for row in reported()[-epochs:]] == [number] * epochs


def test_a_training_shrinks_and_grows_with_its_cluster(tmp_path, monkeypatch, nodes):
    monkeypatch.chdir(tmp_path)
    ready_for(EPOCHS)
    expected = train_without_ray("styleae")
    change_cluster(nodes.stdout.readline().strip(), workers=[1, 2], cpus=1)
    change_nodes(nodes)
    with training(until=trained_by(2), **LOCAL) as run:  # Ray looks for it on the loopback interface, too
        for number in (1, 2):
            change_nodes(nodes)
            while not trained_by(number)() and run.poll() is None:
                time.sleep(0.1)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    numbers = [int(row["workers"]) for row in history()]
    assert [number for number, _ in groupby(numbers)] == [2, 1, 2]
    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert_curve(expected)
