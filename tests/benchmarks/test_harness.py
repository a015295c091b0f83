"""The harness of the benchmarks: what it counts, compares and prints; no time is asserted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import harness
from benchmarks.harness import Asked, Case, Limits, Report, compared, flops_of, measure, table_of


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "limits", lambda device, threads: Limits(flops=100.0, moved=10.0))
    return Asked(short=True, rounds=3, seconds=0.0, device="cpu", threads=1, out=tmp_path / "made/x.json")


def test_cases_take_turns(asked):
    calls = []
    measure([Case(name=name, run=lambda name=name: calls.append(name)) for name in "ab"], asked)
    assert "".join(calls[-6:]) == "ababab"


def test_rates_are_medians_and_ratios_are_taken_round_by_round(asked):
    first, second = compared([Case(name=name, run=int) for name in "ab"], [[1, 2, 4], [4, 4, 4]], asked)
    assert (first["rate"], first["low"], first["high"], first["ratio"]) == (2, 1, 4, 1)
    assert (second["rate"], second["ratio"]) == (4, 2)  # of 4, 2 and 1


def test_the_floor_is_the_longer_of_arithmetic_and_memory(asked):
    one = Case(name="a", run=int, work=2, flops=50, moved=20)  # half a second and two seconds
    (row,) = compared([one], [[0.5, 0.5, 0.5]], asked)
    assert row["floor"] == pytest.approx(0.5)  # at best two units in two seconds


def test_without_known_work_there_is_no_floor(asked):
    assert compared([Case(name="a", run=int)], [[1, 1, 1]], asked)[0]["floor"] is None


def test_operations_are_counted():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert flops_of(lambda: a @ b) == 2 * 3 * 4 * 5


def test_what_was_not_measured_says_so():
    row = {"name": "cuda", "batch": 1, "rate": None, "low": None, "high": None, "ratio": None, "floor": None}
    headings, cells = table_of({"unit": "images", "rows": [row]})
    assert headings == ["", "batch", "images/s", "spread", "× first", "of floor"]
    assert cells == [["cuda", "1", "not measured", "", "", ""]]


def test_a_report_is_printed_and_written_with_where_it_comes_from(asked, capsys):
    report = Report(asked)
    report.add("t", "A title", "images", compared([Case(name="a", run=int)], [[1, 1, 1]], asked))
    report.write()
    assert "A title" in capsys.readouterr().out
    written = json.loads(Path(asked.out).read_text())
    assert written["tables"]["t"]["rows"][0]["rate"] == 1
    assert {"date", "torch", "device", "processor", "threads"} <= written["facts"].keys()
