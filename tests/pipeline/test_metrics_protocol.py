"""The numbers of sliders, sequences, overwritten attributes and realism, on cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics.protocol import (
    consistency_numbers,
    overwrite_error,
    overwrite_numbers,
    overwritten,
    realism_numbers,
    sequence_numbers,
    slider_numbers,
)
from pipeline.metrics.summary import Measured

OFTEN = {"resamples": 50, "seed": 0}
POSITIONS = np.array([-1.0, 0.0, 1.0])


def measured(columns, **arrays):
    """What a bench found, with σ of 2 for every column of the judge."""
    count = len(next(iter(arrays.values())))
    return Measured(np.arange(count), columns, frozenset(), arrays, (1.0,), np.full(len(columns), 2.0))


def test_sliders_are_read_over_all_faces_and_attributes():
    straight, jump, dead = [0.0, 1.0, 2.0], [0.0, 0.0, 2.0], [1.0, 1.0, 1.0]
    slid = {"scores": np.array([[straight, jump], [straight, dead]]), "steps": np.full((2, 2, 2), 0.25)}
    slid["steps"][1] = 0.75
    found = slider_numbers(slid, POSITIONS, **OFTEN)
    assert found["spearman"] == pytest.approx((1 + np.sqrt(0.75) + 1 + 0) / 4, abs=1e-6)
    assert found["uniformity"] == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert found["path_length"] == pytest.approx(0.5)
    assert found["path_length_low"] == 0.25 and found["path_length_high"] == 0.75


def test_images_that_did_not_change_are_as_real_as_the_originals():
    known = np.random.default_rng(0).normal(size=(30, 4))
    seen, reached = np.tile(known[:, None, None, None], (1, 1, 1, 2, 1)), np.ones((30, 1, 1, 2), bool)
    same = realism_numbers(measured(("a", "b"), known=known, seen=seen, reached=reached), 1.0)
    assert same["fid"] == pytest.approx(
        0, abs=0.01
    )  # every row twice: its covariance is 29/30 · 60/59 as large
    shifted = realism_numbers(measured(("a", "b"), known=known, seen=seen + 3, reached=reached), 1.0)
    assert shifted["fid"] - same["fid"] == pytest.approx(4 * 3**2, abs=1e-6)
    assert shifted["kid"] > same["kid"]


def test_edits_that_did_not_arrive_are_in_no_distribution():
    known = np.random.default_rng(0).normal(size=(30, 4))
    seen, reached = np.full((30, 1, 1, 2, 4), np.nan), np.zeros((30, 1, 1, 2), bool)
    seen[:, 0, 0, 1], reached[:, 0, 0, 1] = known, True
    assert realism_numbers(measured(("a", "b"), known=known, seen=seen, reached=reached), 1.0)["fid"] == 0
    reached[1:] = False
    assert realism_numbers(measured(("a", "b"), known=known, seen=seen, reached=reached), 1.0) == {}


SET = {
    "direction": np.array([[1.0, -1.0], [-1.0, 1.0]]),
    # Of each latent: the judge on both attributes, after the first was set, and after the second was.
    "after": np.array([[[0.8, 9.0], [9.0, -0.2]], [[-0.6, 9.0], [9.0, 0.4]]]),
    "rmse": np.array([[0.1, 0.2], [0.3, 0.4]]),
    "psnr": np.array([[30.0, 20.0], [10.0, 40.0]]),
    "ssim": np.full((2, 2), 0.5),
    "identity": np.full((2, 2), 0.75),
}
THRESHOLDS = np.array([[-0.5, -0.1], [0.7, 0.5]])


def test_a_value_is_set_when_the_judge_is_beyond_the_threshold_of_its_side():
    assert overwritten(SET, THRESHOLDS).tolist() == [[True, True], [True, False]]


def test_a_value_that_is_set_may_be_too_far_as_well_as_too_near():
    found = overwrite_error(SET, np.array([[-0.8, -0.3], [0.7, 0.5]]), np.array([0.1, 0.2]))
    np.testing.assert_allclose(found, [[1.0, 0.5], [2.0, 0.5]])


def test_overwriting_counts_successes_and_squares_the_error():
    found = overwrite_numbers(SET, overwritten(SET, THRESHOLDS), np.array([[0.2, 0.4], [0.1, 0.1]]), **OFTEN)
    assert (found["success"], found["error"]) == (0.75, 0.2)
    assert found["mse"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.16) / 4)
    assert (found["psnr"], found["ssim"], found["identity"]) == (25.0, 0.5, 0.75)


NAMES = ("a", "b", "c")
ORIGINALS = {"before": np.zeros((4, 3)), "known": np.eye(4)}


def walked(moves, identity=1.0, seen=None):
    """A sequence of two edits upward; ``moves [P, K]`` in σ are the same for all four latents."""
    after = np.tile(2.0 * np.array(moves), (4, 1, 1))
    return {
        "after": after,
        "direction": np.ones((4, 2)),
        "identity": np.full((4, 2), identity),
        "seen": np.tile((np.eye(4) if seen is None else seen)[:, None], (1, 2, 1)),
    }


def test_a_sequence_is_counted_after_each_step():
    orders = [[0, 1], [1, 0]]
    found = [walked([[1, 0.2, 0.4], [0.4, 1, -0.6]]), walked([[0, 1, 0], [0.5, 0.6, 0.2]], identity=0.5)]
    steps = sequence_numbers(orders, found, ORIGINALS, measured(NAMES, before=np.zeros(4)), 1.0, **OFTEN)
    assert list(steps) == ["step_1", "step_2"]
    first, second = steps.values()
    assert first["accuracy"] == 1
    assert first["dependency"] == pytest.approx(((0.2 + 0.4) / 2 + 0) / 2)
    assert second["accuracy"] == pytest.approx(
        (0.5 + 1) / 2
    )  # 0.4 σ are left of the first edit, half is asked
    assert second["dependency"] == pytest.approx((0.6 + 0.2) / 2)
    assert first["identity"] == 0.75
    assert first["fid"] == pytest.approx(0, abs=1e-6)


def test_a_sequence_goes_where_it_was_asked_to():
    down = walked([[-1, 0, 0], [-1, -1, 0]])
    around = down | {"direction": -np.ones((4, 2))}
    scales = measured(NAMES, before=np.zeros(4))
    for arrays, accuracy in ((down, 0), (around, 1)):
        steps = sequence_numbers([[0, 1]], [arrays], ORIGINALS, scales, 1.0, **OFTEN)
        assert steps["step_2"]["accuracy"] == accuracy


def test_images_of_a_sequence_are_compared_with_the_originals():
    found = walked([[1, 0, 0], [1, 1, 0]], seen=np.eye(4) + [0.5, 0, 0, 0])
    steps = sequence_numbers([[0, 1]], [found], ORIGINALS, measured(NAMES, before=np.zeros(4)), 1.0, **OFTEN)
    assert steps["step_1"]["fid"] == pytest.approx(0.25, abs=1e-6)


def test_a_sequence_over_all_attributes_leaks_into_none():
    found = walked([[1, 0.5], [1, 1]])
    originals = {**ORIGINALS, "before": np.zeros((4, 2))}
    steps = sequence_numbers(
        [[0, 1]], [found], originals, measured(("a", "b"), before=np.zeros(4)), 1.0, **OFTEN
    )
    assert steps["step_1"]["dependency"] == 0.5 and "dependency" not in steps["step_2"]


def end(direction, grey):
    """The end of a sequence: an embedding and a grey picture for each of three latents."""
    seen = np.zeros((3, 2, 2))
    seen[:, -1] = direction
    return {"seen": seen, "pixels": np.full((3, 4, 4, 3), grey, np.uint8)}


def test_orders_that_end_alike_are_consistent():
    found = consistency_numbers([end([1, 0], 90)] * 3, **OFTEN)
    assert found["identity"] == 1 and found["rmse"] == 0


def test_every_pair_of_orders_counts():
    found = consistency_numbers([end([1, 0], 0), end([0.6, 0.8], 255), end([0, 1], 255)], **OFTEN)
    assert found["identity"] == pytest.approx((0.6 + 0 + 0.8) / 3, abs=1e-6)
    assert found["rmse"] == pytest.approx((2 + 2 + 0) / 3, abs=1e-6)  # from black to white is 2
