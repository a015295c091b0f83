"""Editing metrics and bootstrap intervals on cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.attributes import same_attribute
from pipeline.metrics.bootstrap import difference_interval, mean_interval, pooled_interval
from pipeline.metrics.editing import (
    attribute_dependency,
    flipped,
    identity_similarity,
    largest_dependency,
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


def test_the_largest_dependency_is_that_of_one_other_attribute():
    assert largest_dependency(MOVES, TARGET, APART) == pytest.approx([0.4, 0.6, 0.0])
    moves = np.array([[0.5, 1.0, -3.0, -2.0], [1.0, 0.1, 0.2, -0.3]])
    assert largest_dependency(moves, np.array([1, 0]), CLASSES) == pytest.approx([0.5, 0.3])


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


def test_one_training_is_pooled_like_its_latents():
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[values > 1] = np.nan
    assert pooled_interval([values], resamples=200, seed=1) == mean_interval(values, resamples=200, seed=1)


def test_a_pooled_mean_is_over_everything_that_was_measured():
    one, other = np.array([[1.0, np.nan], [3.0, 2.0]]), np.array([[7.0, np.nan], [np.nan, np.nan]])
    assert pooled_interval([one, other], resamples=50, seed=0).mean == 13 / 4


def test_trainings_that_differ_widen_the_interval():
    values = np.random.default_rng(0).normal(size=(50, 4))
    alike = pooled_interval([values] * 5, resamples=500, seed=0)
    apart = pooled_interval([values + shift for shift in (-2, -1, 0, 1, 2)], resamples=500, seed=0)
    assert alike.mean == pytest.approx(apart.mean)
    assert apart.high - apart.low > 2 * (alike.high - alike.low)


def trainings(random, members, latents):
    """Simulated values with a mean of 0: an effect of each training, one of each latent, and noise."""
    effects = random.normal(size=(members, 1)) + random.normal(size=latents)
    return list(effects[..., None] + random.normal(size=(members, latents, 2)))


def test_pooled_intervals_cover_what_they_promise():
    random, covered, narrow = np.random.default_rng(0), 0, 0
    for _ in range(200):
        members = trainings(random, 12, 60)
        pooled = pooled_interval(members, resamples=200, seed=0)
        latents_alone = mean_interval(np.concatenate(members, axis=1), resamples=200, seed=0)
        covered += pooled.low <= 0 <= pooled.high
        narrow += latents_alone.low <= 0 <= latents_alone.high
    assert 0.87 <= covered / 200 <= 0.99
    assert narrow < covered  # it takes these trainings for the only ones


def test_intervals_of_one_training_cover_what_they_promise():
    random, covered = np.random.default_rng(1), 0
    for _ in range(300):
        values = random.normal(size=(60, 1)) + 0.5 * random.normal(size=(60, 4))
        found = mean_interval(values, resamples=200, seed=0)
        covered += found.low <= 0 <= found.high
    assert 0.90 <= covered / 300 <= 0.985


def pair(seed=0):
    """Two editors that differ by 0.3 on the same hard and easy latents."""
    random = np.random.default_rng(seed)
    hard = 2 * random.normal(size=(60, 1))
    return ([hard + shift + 0.2 * random.normal(size=(60, 2))] for shift in (0.3, 0.0))


def test_a_difference_on_the_same_latents_is_sharper_than_two_intervals():
    ours, theirs = pair()
    found = difference_interval(ours, theirs, resamples=500, seed=0)
    one, other = (pooled_interval(x, resamples=500, seed=0) for x in (ours, theirs))
    assert found.mean == pytest.approx(one.mean - other.mean)
    assert found.low > 0.2 and found.high < 0.4
    assert (found.high - found.low) < 0.3 * (one.high - one.low)


def test_a_difference_changes_its_sign_with_its_sides():
    ours, theirs = pair()
    there, back = (
        difference_interval(a, b, resamples=500, seed=0) for a, b in ((ours, theirs), (theirs, ours))
    )
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))


def test_an_editor_does_not_differ_from_itself():
    ours, _ = pair()
    found = difference_interval(ours, ours, resamples=50, seed=0)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


def test_differences_cover_what_they_promise():
    covered = 0
    for seed in range(200):
        ours, theirs = pair(seed)
        found = difference_interval(ours, theirs, resamples=200, seed=0)
        covered += found.low <= 0.3 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_a_difference_from_nothing_is_nan():
    ours, _ = pair()
    assert np.isnan(difference_interval(ours, [np.full((60, 2), np.nan)], resamples=50, seed=0).mean)
