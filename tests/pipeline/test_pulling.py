"""Estimating the metric from shards: resumed, per layer, low-rank; here without Ray."""

from __future__ import annotations

import contextlib
import csv
import json
from pathlib import Path

import pytest
import torch

from pipeline import pulling
from pipeline.config import load_params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.low_rank import LowRank, truncate
from pipeline.generators.pullback import load_layer_metrics, load_metric
from pipeline.paths import PULLBACK
from pipeline.weights import load_weights, save_weights
from tests.tiny import make_tiny_project


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Estimates the metric of a tiny project in this process; gives the report.

    Arguments of ``run`` are overrides of parameters, and after how many shards it is killed.
    """
    monkeypatch.chdir(tmp_path)
    made = []

    def start(overrides=None, killed_after=None):
        make_tiny_project(tmp_path, overrides)
        made.clear()

        def map_shards(shards, actor_class, kwargs, resources, on_result):
            actor = actor_class(**kwargs, device="cpu")
            for shard in shards:
                if len(made) == killed_after:
                    raise KeyboardInterrupt
                made.append(shard["name"])
                on_result(actor(shard))

        monkeypatch.setattr(pulling, "map_shards", map_shards)
        monkeypatch.setattr(pulling, "connect", lambda cluster: contextlib.nullcontext())
        seen = []
        report = pulling.estimate_metric(load_params(), lambda *progress: seen.append(progress))
        assert report == json.loads((PULLBACK / "metric.json").read_text())
        return report, seen

    start.made = made
    return start


def test_the_report_says_how_the_spectrum_settles(run):
    report, seen = run({"pullback.shard_products": 8})
    assert [row["products"] for row in report["convergence"]] == [8, 16, 32]
    assert report["products"] == sum(count for count, _ in seen) == 64
    with open(PULLBACK / "convergence.csv", newline="") as file:
        assert [row["products"] for row in csv.DictReader(file)] == ["8", "16", "32"]


def test_the_report_says_how_well_the_form_predicts_images(run):
    rows = run()[0]["validity"]
    assert [row["size"] for row in rows] == [0.03, 0.1, 0.3, 1.0]
    assert all(row["low"] <= row["ratio"] <= row["high"] for row in rows)


def test_products_are_rounded_up_to_whole_styles(run):
    assert run({"pullback.products": 10, "pullback.noises": 4})[0]["products"] == 12


def test_a_killed_run_goes_on_from_its_shards_to_the_same_bytes(run):
    run()
    assert not list(Path(".work/pullback").iterdir())
    expected = {path.name: path.read_bytes() for path in PULLBACK.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        run(killed_after=3)
    before = list(run.made)
    _, seen = run()
    assert seen[0] == (48, True)
    assert len(run.made) == 1 and not set(run.made) & set(before)
    assert {path.name: path.read_bytes() for path in PULLBACK.iterdir()} == expected


def test_another_seed_goes_on_from_nothing(run):
    with pytest.raises(KeyboardInterrupt):
        run(killed_after=3)
    run({"pullback.seed": 1})
    assert len(run.made) == 4


def test_metrics_of_layers(run):
    run()
    whole = load_metric(PULLBACK)
    report, _ = run({"pullback.per_layer": True})
    layers, generator = load_layer_metrics(PULLBACK), load_generator("models/tiny/generator")
    assert len(layers) == len(report["layer_energy"]) == generator.num_ws
    assert sum(report["layer_energy"]) == pytest.approx(1)
    torch.testing.assert_close(load_metric(PULLBACK), whole, rtol=1e-4, atol=1e-7 * float(whole.trace()))


def test_a_wide_metric_is_low_rank(run, monkeypatch):
    run()
    whole = load_metric(PULLBACK)
    monkeypatch.setattr("pipeline.generators.pullback.FULL_WIDTH", 8)
    run()
    found = load_metric(PULLBACK)
    assert isinstance(found, LowRank)
    expected = truncate(whole, len(found.factor))
    torch.testing.assert_close(found.factor.square(), expected.factor.square(), rtol=1e-4, atol=1e-12)


def test_gradients_that_are_no_numbers_are_refused_and_the_old_metric_stays(run):
    run()
    before = (PULLBACK / "metric.safetensors").read_bytes()
    weights = load_weights("models/tiny/generator")
    broken = {name: t * float("nan") for name, t in weights.tensors.items()}
    save_weights("models/broken", broken, weights.config)
    with pytest.raises(PipelineError, match="finite gradients.*models/broken"):
        run({"generator.weights": "models/broken"})
    assert (PULLBACK / "metric.safetensors").read_bytes() == before
