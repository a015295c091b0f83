"""Matched strength: the search that puts editors of different units on one scale."""

from __future__ import annotations

import pytest
import torch

from pipeline.metrics.matching import EVALUATIONS, LIMIT, StrengthSearch, directions


class Scores:
    """A batch of score curves that counts how often each sample is asked."""

    def __init__(self, curve, count):
        self.curve, self.calls, self.strength = (
            curve,
            torch.zeros(count, dtype=torch.int64),
            torch.zeros(count).double(),
        )

    def __call__(self, rows, strength):
        self.calls[rows] += 1
        self.strength[rows] = strength
        return self.curve(rows, strength)


def finish(found, curve, batch=1000):
    """Bring a search to its end, oldest samples first."""
    scores = Scores(curve, len(found.move))
    while len(rows := found.waiting[:batch]):
        found.tell(rows, scores(rows, found.strength[rows]))
    return scores


def search(curve, count, batch=1000, delta=1.0):
    """A finished search."""
    found = StrengthSearch(count, delta=delta, tolerance=0.05)
    return found, finish(found, curve, batch)


def test_linear_scores_are_matched_in_two_calls():
    slopes = torch.tensor([0.5, 0.9, 1.0, 2.0, 3.5]).double()
    found, scores = search(lambda rows, s: slopes[rows] * s, 5)
    assert found.reached.all()
    assert torch.allclose(found.strength, 1 / slopes, rtol=0.06)
    assert scores.calls.max() <= 2


@pytest.mark.parametrize("steepness", [1.0, 8.0, 30.0])
def test_steep_sigmoids_are_matched(steepness):
    centres = torch.linspace(0.2, 6, 40).double()

    def curve(rows, s):
        return 3 * (
            torch.sigmoid(steepness * (s - centres[rows])) - torch.sigmoid(-steepness * centres[rows])
        )

    found, scores = search(curve, 40)
    assert found.reached.float().mean() > 0.97
    assert scores.calls.double().mean() < 10


def test_finished_samples_are_not_asked_again():
    found, scores = search(lambda rows, s: torch.where(rows == 0, s, 0.1 * s), 2)
    assert found.reached.all()
    assert scores.calls[0] == 1 < scores.calls[1]


def test_the_returned_strength_is_the_last_one_that_was_tried():
    found, scores = search(lambda rows, s: torch.tanh(s / (1 + rows)) * 1.5, 6)
    assert torch.equal(found.strength, scores.strength)
    assert torch.equal(found.move, scores.curve(torch.arange(6), found.strength))


def test_a_score_that_never_moves_far_enough_is_unreached_and_bounded():
    found, scores = search(lambda rows, s: 0.9 * torch.tanh(s), 3)
    assert not found.reached.any()
    assert (found.strength <= LIMIT).all()
    assert scores.calls.max() <= EVALUATIONS


def test_a_score_that_moves_the_wrong_way_is_unreached():
    found, _ = search(lambda rows, s: -s, 3)
    assert not found.reached.any()


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_batches_do_not_change_what_is_found(batch):
    def curve(rows, s):
        return torch.tanh(s / (1 + rows)) * (1 + rows / 8)

    (whole, _), (parts, _) = search(curve, 20), search(curve, 20, batch)
    assert torch.equal(parts.strength, whole.strength) and torch.equal(parts.reached, whole.reached)


def test_every_call_is_counted():
    found, scores = search(lambda rows, s: torch.tanh(s / (1 + rows)) * 1.5, 6)
    assert torch.equal(found.evaluations, scores.calls)


def test_nan_is_unreached():
    found, scores = search(lambda rows, s: s * torch.nan, 2)
    assert not found.reached.any()
    assert scores.calls.max() == 1


def saturating(rows, s):
    """Curves that end between 0.5 and 4."""
    return (0.5 + rows / 8) * torch.tanh(s / (1 + rows / 4))


CURVES = {
    "linear": lambda rows, s: (0.2 + rows / 6) * s,
    "saturating": saturating,
    "steep": lambda rows, s: 3 * torch.sigmoid(4 * (s - 1 - rows / 8)) - 3 * torch.sigmoid(-4 - rows / 2),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_a_larger_move_is_found_from_a_smaller_one_with_fewer_evaluations(curve):
    smaller, _ = search(curve, 28)
    further = smaller.further(1.6)
    calls = finish(further, curve).calls
    scratch, scores = search(curve, 28, delta=1.6)
    assert torch.equal(further.reached, scratch.reached) and further.reached.any()
    reached = further.reached
    assert ((further.move - 1.6).abs() <= 0.05)[reached].all()
    # A batch of another length may round otherwise, as some processors do.
    torch.testing.assert_close(further.move[reached], curve(torch.arange(28), further.strength)[reached])
    assert calls[reached].sum() < scores.calls[reached].sum()
    assert torch.equal(further.evaluations, calls)


def test_a_larger_move_of_a_linear_score_is_where_scratch_finds_it():
    (smaller, _), (scratch, _) = (search(CURVES["linear"], 28, delta=delta) for delta in (1.0, 1.6))
    further = smaller.further(1.6)
    finish(further, CURVES["linear"])
    assert torch.allclose(further.strength, scratch.strength, rtol=2 * 0.05 / 1.6)


def test_a_larger_move_is_where_the_line_through_the_last_two_points_says():
    smaller, _ = search(lambda rows, s: 2 * (s - 0.3).clamp(min=0), 1, delta=0.5)
    assert smaller.further(1.0).strength == pytest.approx(0.8)
    assert smaller.further(1.5).strength == pytest.approx(1.05)


def test_going_further_leaves_the_smaller_search_alone():
    smaller, _ = search(saturating, 28)
    before = smaller.strength.clone(), smaller.move.clone(), smaller.low.clone(), smaller.high.clone()
    finish(smaller.further(1.6), saturating)
    after = smaller.strength, smaller.move, smaller.low, smaller.high
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) and smaller.delta == 1.0


@pytest.mark.parametrize("curve", [lambda rows, s: 0.04 * s, lambda rows, s: -s], ids=["weak", "wrong way"])
def test_what_has_come_to_the_limit_stays_there(curve):
    smaller, _ = search(curve, 3)
    further = smaller.further(1.5)
    assert not len(further.waiting) and not further.evaluations.any()
    assert (further.strength == LIMIT).all() and not further.reached.any()
    assert torch.equal(further.move, smaller.move)


def test_nan_stays_unreached_further_on():
    smaller, _ = search(lambda rows, s: s * torch.nan, 2)
    further = smaller.further(1.5)
    scores = finish(further, lambda rows, s: s * torch.nan)
    assert not further.reached.any() and scores.calls.max() <= 1
    assert further.strength.isfinite().all()


def test_several_moves_in_a_row_rise():
    found, strengths = StrengthSearch(28, delta=0.5, tolerance=0.05), []
    for delta in (0.5, 1.0, 1.5, 2.0):
        found = found.further(delta) if strengths else found
        finish(found, saturating)
        strengths.append(found.strength.where(found.reached, torch.nan))
        able = 0.5 + torch.arange(28) / 8 > delta + 0.1
        assert found.reached[able].all()
        assert not found.reached[0.5 + torch.arange(28) / 8 < delta - 0.051].any()
    for one, next_one in zip(strengths, strengths[1:], strict=False):
        assert (next_one > one)[next_one.isfinite()].all()


def test_an_edit_goes_toward_the_far_end_of_the_range():
    scores = torch.tensor([[0.1], [0.4], [0.6], [2.0], [-1.0]])
    toward = directions(scores, torch.tensor([0.0]), torch.tensor([1.0]))
    assert toward.flatten().tolist() == [1, 1, -1, -1, 1]
