"""The simulation of a cluster agrees with what can be worked out, and with what was measured."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.goodput import Assumed, costs_of, image_rate, validation
from benchmarks.harness import read_results
from benchmarks.simulation import Costs, simulate

RESULTS = read_results(Path(__file__).parents[2] / "benchmarks/results")
RUNS = 60


def test_without_failures_it_takes_the_start_the_rounds_and_the_record():
    done = simulate(95, Costs(workers=10, shard=3.0, start=2.0, record=0.1))
    assert done.wall == pytest.approx(2 + 10 * 3 + 9.5)
    assert done.goodput == pytest.approx(95 * 3 / (10 * done.wall))
    assert (done.failures, done.lost) == (0, 0)


def test_a_driver_that_is_too_slow_sets_the_pace():
    done = simulate(1000, Costs(workers=100, shard=0.1, schedule=0.05, feed=0.01))
    assert done.wall == pytest.approx(1000 * 0.01 + 1000 * 0.05 + 0.1)
    assert done.rate == pytest.approx(20)


def test_workers_that_are_too_slow_set_the_pace():
    assert simulate(4000, Costs(workers=10, shard=1.0, schedule=0.01)).rate == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("shard", [10.0, 100.0, 300.0])
def test_failures_cost_what_renewal_theory_says(shard):
    """A shard that starts again after each failure takes (exp(S/M) - 1)(M + R) on average."""
    mtbf, repair, shards = 300.0, 40.0, 100
    costs = Costs(workers=1, shard=shard, mtbf=mtbf, repair=repair)
    each = [simulate(shards, costs, seed).wall / shards for seed in range(RUNS)]
    expected = (math.exp(shard / mtbf) - 1) * (mtbf + repair)
    assert abs(statistics.fmean(each) - expected) < 4 * statistics.stdev(each) / math.sqrt(RUNS)


def test_a_failure_loses_half_a_shard_of_each_of_its_workers():
    costs = Costs(workers=64, node_workers=8, shard=10.0, mtbf=2000.0, repair=50.0)
    runs = [simulate(2500, costs, seed) for seed in range(RUNS)]
    lost = sum(run.lost for run in runs) / sum(run.failures for run in runs) / costs.node_workers
    assert lost == pytest.approx(costs.shard / 2, rel=0.15)


def test_a_driver_that_fails_takes_everybody_along_and_keeps_what_is_finished():
    costs = Costs(workers=4, shard=10.0, start=5.0, mtbf=200.0, repair=20.0)
    alone = [simulate(100, costs, seed) for seed in range(RUNS)]
    both = [simulate(100, replace(costs, driver_fails=True), seed) for seed in range(RUNS)]
    assert statistics.fmean(run.wall for run in both) > statistics.fmean(run.wall for run in alone) + 20
    assert min(run.goodput for run in both) > 0


def test_the_same_seed_gives_the_same_run():
    costs = Costs(workers=8, shard=10.0, mtbf=100.0, repair=20.0)
    assert simulate(50, costs, 1) == simulate(50, costs, 1) != simulate(50, costs, 2)


def test_measured_rates_are_predicted():
    """Runs in which actors sleep, from the constants of the others; two cores go only so far."""
    rows = validation(RESULTS)
    most = max(row["measured"] for row in rows if not row["shard s"])
    slept = [row for row in rows if row["shard s"]]
    assert {row["workers"] for row in slept} >= {2, 100}
    for row in slept:
        assert row["measured"] == pytest.approx(min(row["predicted"], most), rel=0.2), row


def test_the_constants_are_those_of_the_results():
    costs, rows = costs_of(RESULTS), RESULTS["driver"]["tables"]["scheduled"]["rows"]
    assert costs.schedule < max(row["driver s"] / row["shards"] for row in rows)
    assert min(costs.schedule, costs.start, costs.feed, costs.record) > 0


def test_a_measured_gpu_takes_the_place_of_the_assumed_one():
    row = {"name": "prepared, fp16", "resolution": 1024, "rate": 321.0}
    of_gpu = {"facts": {"device": "cuda"}, "tables": {"resolution": {"rows": [row, row | {"rate": None}]}}}
    assert image_rate({"synthesis": {"facts": {"device": "cpu"}, "tables": {}}}) is None
    assert image_rate({"synthesis": of_gpu}) == 321.0 != Assumed().images
