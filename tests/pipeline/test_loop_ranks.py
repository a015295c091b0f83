"""Several ranks, in processes of their own: the curve of one, whatever their number."""

from __future__ import annotations

import functools

import pytest
import torch

from pipeline.loop import count_of, part_of
from tests.ranks import ALONE, CASES, MOVED, make_loop, read, train, train_on_ranks

TOLERANCE = 1e-5  # of losses, relative
COST = ("seconds", "peak_mib", "workers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    train_on_ranks(folder)
    return folder


@functools.cache
def alone(case):
    """The history of one rank."""
    return train(make_loop(case))


def losses(history):
    return [{name: value for name, value in row.items() if name not in COST} for row in history]


def assert_close(found, expected):
    assert [row["epoch"] for row in found] == [row["epoch"] for row in expected]
    for row, other in zip(losses(found), losses(expected), strict=True):
        assert row == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", CASES)
def test_ranks_have_the_curve_of_one_at_the_same_batches(folder, case, ranks):
    assert_close(read(folder, case, ranks), alone(case))


@pytest.mark.parametrize("case", CASES)
def test_all_ranks_have_the_same_numbers_for_the_same_epochs(folder, case):
    """So they report equally often, and stop after the same epoch."""
    histories = [losses(read(folder, case, 3, rank)) for rank in range(3)]
    assert histories[0] == histories[1] == histories[2]


@pytest.mark.parametrize("case", [*CASES, *ALONE])
def test_an_editor_says_whether_its_loss_is_the_mean_of_its_rows_losses(case):
    loop = make_loop(case)
    rows = torch.arange(count_of(loop.train))
    whole, *parts = (
        loop.objective(part_of(loop.train, part), 0.5)["loss"].item() for part in (rows, *rows.split(20))
    )
    shares = loop.objective.editor.shares_batches(loop.settings)
    assert (sum(parts) / len(parts) == pytest.approx(whole, rel=1e-4)) == shares


def test_one_case_stops_early(folder):
    assert len(read(folder, "stops early", 3)) < CASES["stops early"].epochs


def test_a_training_goes_on_with_another_number_of_ranks(folder):
    moved = read(folder, "moved", 2)
    assert [row["workers"] for row in moved] == [3] * MOVED + [2] * (CASES["images"].epochs - MOVED)
    assert_close(moved, alone("images"))
