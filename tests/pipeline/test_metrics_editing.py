"""Editing metrics and bootstrap intervals on cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.attributes import same_attribute
from pipeline.metrics.bootstrap import mean_interval
from pipeline.metrics.editing import (
    attribute_dependency,
    flipped,
    identity_similarity,
    moves_in_sigma,
    rescoring_matrix,
    success,
)

MOVES = np.array([[1.0, 0.2, -0.4], [0.6, -2.0, 0.0], [0.0, 0.0, 0.4]])
TARGET = np.array([0, 1, 2])
APART = same_attribute(["gender", "age", "smile"])
CLASSES = same_attribute(["age", "pet.cat", "pet.dog", "pet.wild"])
UP_DOWN_UP = np.array([1.0, -1.0, 1.0])


def test_moves_are_counted_in_sigma():
    assert moves_in_sigma(np.array([[1.0, 2.0]]), np.array([[2.0, 1.0]]), np.array([0.5, 2.0])).tolist() == [
        [2.0, -0.5]
    ]


def test_success_asks_for_half_the_move_in_the_asked_direction():
    assert success(MOVES, TARGET, UP_DOWN_UP, delta=1.0).tolist() == [True, True, False]
    assert success(MOVES, TARGET, -UP_DOWN_UP, delta=1.0).tolist() == [False, False, False]


def test_dependency_is_the_mean_absolute_move_of_the_others():
    assert attribute_dependency(MOVES, TARGET, APART) == pytest.approx([0.3, 0.3, 0.0])


def test_dependency_leaves_its_input_alone():
    before = MOVES.copy()
    attribute_dependency(MOVES, TARGET, APART)
    assert np.array_equal(MOVES, before)


def test_a_flip_is_a_change_of_sign():
    before, after, alone = np.array([[-1.0], [1.0]]), np.array([[2.0], [0.5]]), same_attribute(["gender"])
    assert flipped(before, after, np.array([0, 0]), alone).tolist() == [True, False]


def test_a_class_flips_when_it_becomes_the_greatest_or_stops_being_it():
    dog, cat = [0.0, -1.0, 2.0, -3.0], [0.0, 1.0, -2.0, -3.0]
    near = [0.0, 1.0, 1.5, -3.0]  # a positive score that another class tops
    before, after = np.array([dog, dog, dog, cat]), np.array([cat, cat, near, dog])
    assert flipped(before, after, np.array([1, 3, 1, 2]), CLASSES).tolist() == [True, False, False, True]


def test_dependency_does_not_count_the_other_classes_of_the_edited_attribute():
    moves = np.array([[0.5, 1.0, -3.0, -2.0], [1.0, 0.1, 0.2, 0.3]])
    assert attribute_dependency(moves, np.array([1, 0]), CLASSES) == pytest.approx([0.5, 0.2])


def test_identity_is_a_cosine():
    assert identity_similarity(
        np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([[0.0, 1.0], [0.6, 0.8]])
    ) == pytest.approx([0, 1])


def test_rescoring_counts_along_the_asked_direction():
    matrix = rescoring_matrix(
        np.concatenate([MOVES, -MOVES]), np.tile(TARGET, 2), np.concatenate([UP_DOWN_UP, -UP_DOWN_UP])
    )
    assert matrix == pytest.approx(np.array([[1.0, 0.2, -0.4], [-0.6, 2.0, 0.0], [0.0, 0.0, 0.4]]))


def test_a_column_that_was_never_edited_has_no_row():
    assert np.isnan(rescoring_matrix(MOVES[:1], TARGET[:1], UP_DOWN_UP[:1])[1]).all()


def test_the_interval_is_deterministic_by_seed():
    values = np.random.default_rng(0).normal(size=64)
    assert mean_interval(values, resamples=200, seed=1) == mean_interval(values, resamples=200, seed=1)
    assert mean_interval(values, resamples=200, seed=1) != mean_interval(values, resamples=200, seed=2)


def test_the_interval_matches_scipy():
    values = np.random.default_rng(3).exponential(size=200)
    ours = mean_interval(values, resamples=20000, seed=0)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=np.random.default_rng(1)
    )
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_repeated_measurements_of_one_latent_do_not_narrow_the_interval():
    values = np.random.default_rng(0).normal(size=(50, 1))
    once = mean_interval(values, resamples=500, seed=0)
    again = mean_interval(np.repeat(values, 8, axis=1), resamples=500, seed=0)
    assert (again.mean, again.low, again.high) == pytest.approx((once.mean, once.low, once.high))


def test_what_was_not_measured_does_not_count():
    assert mean_interval(np.array([[1.0, np.nan], [3.0, 2.0]]), resamples=50, seed=0).mean == 2.0


def test_nothing_measured_is_nan():
    assert np.isnan(mean_interval(np.full((4, 2), np.nan), resamples=50, seed=0).mean)
