"""A training goes on with fewer workers when a node is lost, and with more when one comes."""

from __future__ import annotations

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
from tests.jobs.conftest import machines

pytestmark = pytest.mark.slow  # Ray looks every few seconds whether there is room for more
EPOCHS = 400


@pytest.fixture
def nodes():
    """A head and a node, with a CPU each."""
    with machines() as found:
        found.start_head()
        found.start_worker()
        yield found


def trained_by(number: int) -> Callable[[], bool]:
    """Whether the last three epochs are the work of so many workers."""
    return lambda: [row["workers"] for row in reported()[-3:]] == [number] * 3


def test_a_training_shrinks_and_grows_with_its_cluster(tmp_path, monkeypatch, nodes):
    monkeypatch.chdir(tmp_path)
    ready_for(EPOCHS)
    expected = train_without_ray("styleae")
    change_cluster(f"127.0.0.1:{nodes.gcs}", workers=[1, 2], cpus=1)
    with training(until=trained_by(2), **LOCAL, **nodes.environment) as run:
        for number, change in ((1, nodes.lose_worker), (2, nodes.start_worker)):
            change()
            while not trained_by(number)() and run.poll() is None:
                time.sleep(0.1)
        _, errors = run.communicate()
    assert (run.returncode, errors) == (0, "")
    assert [number for number, _ in groupby(int(row["workers"]) for row in history())] == [2, 1, 2]
    assert [int(row["epoch"]) for row in history()] == list(range(EPOCHS))
    assert_curve(expected, ["attributes"])  # after 400 epochs the far smaller other terms are apart
