"""Slider metrics against SciPy and on sliders whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.errors import PipelineError
from pipeline.metrics.sliders import path_length, spearman, uniformity

POSITIONS = np.linspace(-2, 2, 5)
UNEVEN = np.array([-2.0, -1.5, 0.0, 0.5, 2.5])


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "ties"])
def test_spearman_is_scipys(rounded):
    scores = np.random.default_rng(0).normal(size=(4, 6, 11)) + np.linspace(0, 2, 11)
    scores = scores.round() if rounded else scores
    positions = np.arange(11.0) ** 2  # ranks are all that counts
    expected = [[stats.spearmanr(positions, row).statistic for row in block] for block in scores]
    np.testing.assert_allclose(spearman(positions, scores), expected, atol=1e-12)


def test_spearman_knows_up_down_and_dead_sliders():
    rows = [[0, 1, 10, 11, 50], [5, 4, 3, 1, 0], [2, 2, 2, 2, 2]]
    assert spearman(POSITIONS, rows).tolist() == pytest.approx([1, -1, 0])


@pytest.mark.parametrize("positions", [POSITIONS, UNEVEN], ids=["even", "uneven"])
def test_a_straight_line_is_uniform_either_way(positions):
    assert uniformity(positions, [3 + 0.7 * positions, 1 - positions]).tolist() == pytest.approx([1, 1])


def test_uniformity_of_sliders_made_by_hand():
    jump, pairs, dead = [0, 0, 1, 1, 1], [0, 2, 2, 4, 4], [1, 1, 1, 1, 1]
    there_and_back, one_back = [0, 1, 0, 1, 0], [0, 3, 2, 5, 8]
    rows = np.array([jump, pairs, dead, there_and_back, one_back], float)
    assert uniformity(POSITIONS, rows).tolist() == pytest.approx([1 / 4, 1 / 2, 0, 0, 3 / 4 - 1 / 10])


def test_uniformity_of_a_monotone_score_is_one_less_half_its_deviation_from_even_steps():
    scores = np.random.default_rng(1).random((50, 9)).cumsum(axis=1)
    steps = np.diff(scores, axis=1)
    deviation = np.abs(steps - steps.mean(axis=1, keepdims=True)).mean(axis=1) / steps.mean(axis=1)
    np.testing.assert_allclose(uniformity(np.arange(9), scores), 1 - deviation / 2)


def test_a_step_backward_makes_a_slider_less_uniform():
    rng = np.random.default_rng(2)
    positions = rng.random(6).cumsum()
    steps = rng.random((2000, 5)) ** 3
    signs = rng.choice([-1, 1], steps.shape)
    mixed = np.abs(signs.sum(axis=1)) < 5

    def of(steps):
        return uniformity(positions, np.pad(steps.cumsum(axis=1), ((0, 0), (1, 0))))

    assert (of(steps * signs)[mixed] < of(steps)[mixed]).all()


def test_path_length_is_a_mean_rate():
    assert path_length([0, 1, 3], [[0.2, 0.4], [0.0, 1.0]]).tolist() == pytest.approx([0.2, 0.25])


def test_what_was_not_measured_has_no_number():
    scores = np.array([[0, 1, np.nan, 3, 4], [0, 1, 2, 3, 4]])
    for found in (
        spearman(POSITIONS, scores),
        uniformity(POSITIONS, scores),
        path_length(POSITIONS, scores[:, 1:]),
    ):
        assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize("metric", [spearman, uniformity, path_length])
@pytest.mark.parametrize(
    ("positions", "rows", "message"),
    [
        ([0, 2, 1], [[1, 2, 3]], "rising"),
        ([0], [[1]], "two or more"),
        ([0, 1, 2], [[1, 2, 3, 4]], "got shape"),
    ],
)
def test_input_that_does_not_fit_is_refused(metric, positions, rows, message):
    with pytest.raises(PipelineError, match=message):
        metric(positions, rows)
