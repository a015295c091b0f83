"""The plan of an evaluation: scales of the training split, trials and their chunks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.plan import INVERTED, OUTSIDE, Trial, orders_of, plan
from pipeline.protocol import scales_of
from pipeline.reporting import EvaluateParams

NAMES = tuple("abcdef")
FULL = EvaluateParams(
    count=10, slider_faces=4, overwrite_faces=6, sequence_faces=3, outside_faces=5, faces=2, explorer_faces=3
)


@pytest.fixture
def scales():
    random = np.random.default_rng(0)
    return scales_of(random.normal(size=(50, 3)).astype(np.float32), random.normal(size=(50, 6)), NAMES)


def latents(count):
    """Latents that tell which they are."""
    return np.arange(count, dtype=np.float32)[:, None].repeat(3, axis=1)


def test_scales_are_of_the_rows():
    attrs = np.arange(101.0)[:, None] * [1.0, -2.0]
    found = scales_of(np.random.default_rng(0).normal(size=(101, 3)).astype(np.float32), attrs, "ab")
    np.testing.assert_allclose(found.low, [1, -198])
    np.testing.assert_allclose(found.high, [99, -2])
    np.testing.assert_allclose(found.targets, [[15, -170], [85, -30]])
    np.testing.assert_allclose(found.sigma, np.sqrt((101**2 - 1) / 12) * np.array([1, 2]))


def test_the_manifold_is_that_of_the_training_styles():
    w = np.random.default_rng(1).normal(size=(400, 3)) * [1, 2, 5]
    found = scales_of(w.astype(np.float32), w, "abc")
    assert np.sqrt(np.square(found.manifold(w)).mean()) == pytest.approx(1, abs=1e-3)


def test_orders_are_of_the_same_attributes():
    first, reverse, other = orders_of("abcdefghi", seed=3)
    assert len(first) == len(set(first)) == 5
    assert reverse == first[::-1] and sorted(other) == sorted(first)
    assert set(first) <= set(range(9))
    assert orders_of("abcdefghi", seed=3) == [first, reverse, other] != orders_of("abcdefghi", seed=4)


def test_few_attributes_are_all_in_the_orders():
    assert sorted(orders_of("abc", seed=0)[2]) == [0, 1, 2]


def test_the_classes_of_an_attribute_do_not_follow_each_other():
    columns = ("age", "pet.cat", "pet.dog", "pet.wild")
    for seed in range(5):
        assert sorted(columns[k].partition(".")[0] for k in orders_of(columns, seed)[0]) == ["age", "pet"]


def test_chunks_are_the_latents_in_order():
    trial = Trial("sequence 1", "sequence", latents(7), {"delta": 1.0})
    chunks = list(trial.chunks(3))
    assert [len(chunk["w"]) for chunk in chunks] == [3, 3, 1]
    assert np.array_equal(np.concatenate([chunk["w"] for chunk in chunks]), trial.w)
    assert all(chunk["trial"] == "sequence" and chunk["group"] == "sequence 1" for chunk in chunks)
    assert all(chunk["delta"] == 1.0 for chunk in chunks)


def test_the_first_latents_get_more():
    trial = Trial("edits", "edits", latents(7), {}, {"drawn": 4, "slid": 100})
    assert [(chunk["drawn"], chunk["slid"]) for chunk in trial.chunks(3)] == [(3, 3), (1, 3), (0, 1)]


def test_nothing_but_single_edits_is_tried_without_being_asked(scales):
    [trial] = plan(EvaluateParams(), scales, latents(10), np.empty((0, 1), np.float32))
    assert (trial.name, trial.kind, len(trial.w)) == ("edits", "edits", 10)
    assert trial.first == {"drawn": 10, "slid": 0} and trial.arguments == {"delta": 1.0, "positions": 11}


def test_everything_is_tried_when_asked(scales):
    trials = plan(FULL, scales, latents(10), latents(5))
    sizes = {trial.name: len(trial.w) for trial in trials}
    sequences = {f"sequence {n}": 3 for n in range(3)}
    assert sizes == {"edits": 10, "overwrite": 6, **sequences, "outside": 5}
    by_name = {trial.name: trial for trial in trials}
    assert by_name["edits"].first == {"drawn": 3, "slid": 4}
    assert np.array_equal(by_name["overwrite"].arguments["targets"], scales.targets)
    orders = orders_of(NAMES, FULL.seed)
    assert [by_name[name].arguments["order"] for name in sequences] == orders
    assert all(np.array_equal(trial.w, latents(len(trial.w))) for trial in trials)  # each begins at the first


def test_pictures_are_put_through_what_latents_from_outside_are(scales):
    trials = plan(FULL, scales, latents(10), latents(5), inverted=latents(7))
    assert {trial.name: len(trial.w) for trial in trials if trial.kind == "outside"} == {
        OUTSIDE: 5,
        INVERTED: 7,
    }
    trials = plan(EvaluateParams(), scales, latents(10), latents(0), inverted=latents(7))
    assert [trial.name for trial in trials] == ["edits", INVERTED]


def test_fewer_latents_than_asked_are_all_taken(scales):
    trials = plan(replace(FULL, overwrite_faces=100), scales, latents(4), latents(5))
    assert {trial.name: len(trial.w) for trial in trials}["overwrite"] == 4
