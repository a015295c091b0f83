"""``python -m pipeline tune``: which batch it chooses, and what it refuses."""

from __future__ import annotations

import re

import pytest

from pipeline.__main__ import main
from pipeline.cli.tune import Probed, best_batch, memory_of
from pipeline.errors import PipelineError
from tests.tiny import make_tiny_project

TRIED = [Probed(1, 10.0, 100), Probed(2, 19.8, 150), Probed(4, 20.0, 300), Probed(8, 30.0, 700)]


@pytest.mark.parametrize(("budget", "batch"), [(1000, 8), (400, 2), (120, 1)])
def test_the_smallest_batch_that_is_nearly_as_fast_as_any_within_the_budget(budget, batch):
    assert best_batch(TRIED, budget).batch == batch


def test_a_budget_below_one_image_is_refused():
    with pytest.raises(PipelineError, match=r"one image fits, got .* raise --memory"):
        best_batch(TRIED, 50)


@pytest.mark.parametrize(("text", "size"), [("2GiB", 2**31), ("1.5 MB", 1_500_000), ("640", 640)])
def test_sizes_of_memory(text, size):
    assert memory_of(text) == size


def test_what_is_no_size_is_refused():
    with pytest.raises(PipelineError, match="expected a size of memory such as 2GiB, got '2 bananas'"):
        memory_of("2 bananas")


def test_the_command_says_what_to_set(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_tiny_project(tmp_path)
    assert main(["tune", "--memory", "64GiB"]) == 0
    assert re.search(r"python -m pipeline compose label\.batch_size=\d+", capsys.readouterr().out)
