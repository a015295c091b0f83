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


def search(curve, count, batch=1000):
    """A finished search, oldest samples first."""
    scores, found = Scores(curve, count), StrengthSearch(count, delta=1.0, tolerance=0.05)
    while len(rows := found.waiting[:batch]):
        found.tell(rows, scores(rows, found.strength[rows]))
    return found, scores


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


def test_an_edit_goes_toward_the_far_end_of_the_range():
    scores = torch.tensor([[0.1], [0.4], [0.6], [2.0], [-1.0]])
    toward = directions(scores, torch.tensor([0.0]), torch.tensor([1.0]))
    assert toward.flatten().tolist() == [1, 1, -1, -1, 1]
