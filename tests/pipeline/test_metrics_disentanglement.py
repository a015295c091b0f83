"""Disentanglement metrics on codes whose quality is known, and against scikit-learn."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
from scipy.stats import special_ortho_group
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score

from pipeline.errors import PipelineError
from pipeline.metrics.disentanglement import BINS, dci, mig, mutual_information, sap

FACTORS = np.random.default_rng(0).normal(size=(2000, 4))
ROTATED = FACTORS @ special_ortho_group.rvs(4, random_state=np.random.default_rng(1))
NOISE = np.random.default_rng(2).normal(size=(2000, 3))


def all_of(codes, factors=FACTORS):
    found = dci(codes, factors, seed=0)
    return np.array(
        [
            found.disentanglement,
            found.completeness,
            found.informativeness,
            mig(codes, factors),
            sap(codes, factors),
        ]
    )


def test_factors_themselves_are_a_perfect_code():
    assert all_of(FACTORS) == pytest.approx(np.array([1, 1, 1, 0.96, 1]), abs=0.02)


def test_coordinates_that_know_nothing_do_no_harm():
    assert all_of(np.hstack([NOISE, FACTORS])) == pytest.approx(all_of(FACTORS), abs=0.02)


def test_a_rotated_code_is_as_informative_and_much_less_disentangled():
    found = all_of(ROTATED)
    assert found[2] == pytest.approx(1, abs=0.01)
    assert (found[[0, 1, 3, 4]] < 0.6 * all_of(FACTORS)[[0, 1, 3, 4]]).all()


def test_order_sign_and_scale_of_coordinates_do_not_matter():
    changed = ROTATED[:, [2, 0, 3, 1]] * [-3, 0.1, 5, -1] + 7
    assert all_of(changed) == pytest.approx(all_of(ROTATED), abs=1e-3)


def test_one_coordinate_for_two_factors_is_complete_and_not_disentangled():
    factors = FACTORS[:, [0, 0]]
    found = dci(np.hstack([FACTORS[:, :1], NOISE]), factors, seed=0)
    assert (found.disentanglement, found.completeness) == pytest.approx((0, 1), abs=0.02)


def test_two_coordinates_for_each_factor_are_disentangled_and_not_complete():
    factors, noise = FACTORS[:, :2], NOISE[:, :2]
    found = dci(np.hstack([factors + noise, factors - noise]), factors, seed=0)
    assert found.disentanglement == pytest.approx(1, abs=0.02)
    assert found.completeness == pytest.approx(1 - np.log(2) / np.log(4), abs=0.02)
    assert found.importance[[0, 2], 0] == pytest.approx(found.importance[[2, 0], 0], rel=0.05)


def test_informativeness_is_the_share_of_variance_that_can_be_read():
    noisy = FACTORS + 0.5 * np.random.default_rng(3).normal(size=FACTORS.shape)
    assert dci(noisy, FACTORS, seed=0).informativeness == pytest.approx(0.8, abs=0.02)
    assert dci(NOISE, FACTORS, seed=0).informativeness == pytest.approx(0, abs=0.02)


def test_a_seed_gives_one_answer():
    first, again, other = (dci(ROTATED, FACTORS, seed).informativeness for seed in (0, 0, 1))
    assert first == again != other


def test_mutual_information_of_a_table_made_by_hand():
    a, b = np.repeat([[0, 0, 1, 1], [0, 1, 0, 1]], [400, 100, 200, 300], axis=1)
    expected = 0.4 * np.log(0.4 / (0.5 * 0.6)) + 0.1 * np.log(0.1 / (0.5 * 0.4))
    expected += 0.2 * np.log(0.2 / (0.5 * 0.6)) + 0.3 * np.log(0.3 / (0.5 * 0.4))
    assert mutual_information(a[:, None], b[:, None]) == pytest.approx(expected)


def test_mutual_information_is_scikit_learns_on_the_same_bins():
    def binned(values):  # ranks: no two of these values are equal
        return values.argsort().argsort() * BINS // len(values)

    expected = [[mutual_info_score(binned(c), binned(f)) for f in FACTORS.T] for c in ROTATED.T]
    np.testing.assert_allclose(mutual_information(ROTATED, FACTORS), expected)


def test_mig_of_a_copy_made_by_hand():
    # Two fair coins: each coordinate is one of them and knows nothing of the other.
    coins = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 25)
    assert mig(coins, coins) == pytest.approx(1)
    assert mig(coins[:, [0, 0]], coins) == pytest.approx(0)


def test_sap_is_the_gap_of_scikit_learns_lines():
    scores = [
        sorted(LinearRegression().fit(c[:, None], f).score(c[:, None], f) for c in ROTATED.T)
        for f in FACTORS.T
    ]
    assert sap(ROTATED, FACTORS) == pytest.approx(np.mean([s[-1] - s[-2] for s in scores]))


def test_a_coordinate_that_is_constant_knows_nothing():
    dead = np.hstack([FACTORS, np.full((len(FACTORS), 1), 3.0)])
    assert all_of(dead) == pytest.approx(all_of(FACTORS), abs=1e-3)


def test_wide_codes_take_seconds():
    rng = np.random.default_rng(4)
    codes, started = rng.normal(size=(1000, 600)), time.process_time()
    all_of(codes, codes @ rng.normal(size=(600, 8)) + rng.normal(size=(1000, 8)))
    assert time.process_time() - started < 20


def test_no_warning_comes_of_codes_that_repeat_each_other():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = dci(np.hstack([ROTATED, ROTATED @ ROTATED[:4].T]), FACTORS, seed=0)
    assert found.informativeness > 0.9


@pytest.mark.parametrize("metric", [lambda c, f: dci(c, f, seed=0), mig, sap], ids=["dci", "mig", "sap"])
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (FACTORS[:, :1], FACTORS, "two columns"),
        (FACTORS[:50], FACTORS, "same N rows"),
        (FACTORS[:9], FACTORS[:9], "20 or more"),
        (FACTORS, FACTORS * [1, 1, 0, 1], "in column 2"),
    ],
)
def test_input_that_does_not_fit_is_refused(metric, codes, factors, message):
    with pytest.raises(PipelineError, match=message):
        metric(codes, factors)
