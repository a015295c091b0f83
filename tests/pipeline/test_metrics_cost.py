"""What an editor costs, counted by hand and with a clock of our own."""

from __future__ import annotations

import itertools

import pytest
import torch

from pipeline.editors import InterFaceGAN
from pipeline.metrics import cost
from pipeline.metrics.cost import edit_milliseconds, parameter_count, training_cost


def test_every_number_of_a_saved_editor_counts():
    editor = InterFaceGAN(("gender", "age"), 16)
    assert parameter_count(editor) == sum(v.numel() for v in editor.state_dict().values()) >= 2 * 16


def test_training_is_summed_and_its_best_epochs_are_found():
    history = {
        "seconds": [1.5, 0.5, 1.0, 1.5, 1.0],
        "val_loss": [2.0, 1.08, 1.04, 1.0, 1.2],
        "peak_mib": [100.0, 120.5],
    }
    assert training_cost(history) == {
        "train_seconds": 5.5,
        "seconds_to_best": 4.5,
        "seconds_to_near_best": 3.0,  # 1.04 leaves 4 % of the way from 2 to 1
        "peak_mib": 120.5,
    }


def test_a_training_that_only_gets_worse_was_best_at_once():
    found = training_cost({"seconds": [2.0, 1.0], "val_loss": [1.0, 3.0]})
    assert found == {"train_seconds": 3.0, "seconds_to_best": 2.0, "seconds_to_near_best": 2.0}


def test_a_closed_form_has_no_epochs():
    assert training_cost({"epoch": [0.0], "seconds": [1.25]}) == {"train_seconds": 1.25}
    assert training_cost({}) == {"train_seconds": 0}


class Counter:
    """An editor that notes what it is asked."""

    columns = ("gender", "age")

    def __init__(self):
        self.asked = []

    def edit(self, w, attribute, strength):
        self.asked.append((tuple(w.shape), attribute, strength))
        return w


@pytest.mark.parametrize("batch", [1, 7])
def test_an_edit_is_timed_by_its_fastest_call_after_a_first_one_that_does_not_count(monkeypatch, batch):
    editor, w = Counter(), torch.arange(12.0).reshape(3, 4)
    turns = [0.001, 9.0, 0.003, *([0.004] * (cost.TURNS - 2))]  # the first does not count
    ticks = itertools.chain.from_iterable((0.0, seconds) for seconds in turns)
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(ticks))
    assert edit_milliseconds(editor, w, batch) == 3.0
    assert editor.asked == [((batch, 4), "gender", 1.0)] * len(turns)
