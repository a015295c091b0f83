"""``python -m pipeline seeds``: an editor for each seed, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.editors import load_editor
from tests.tiny import fill_labels, fill_metric, make_tiny_project


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A tiny project with labels and metric, as the working directory."""
    monkeypatch.chdir(tmp_path)
    made = make_tiny_project(tmp_path)
    fill_labels()
    fill_metric()
    return made


def refused(capsys, *arguments: str) -> str:
    assert main(["seeds", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not Path("made").exists()
    return error


def test_each_seed_leaves_an_editor_of_its_own(capsys):
    assert main(["seeds", "styleae", "--count", "2", "--out", "made"]) == 0
    first, second = (load_editor(Path("made") / seed) for seed in ("0", "1"))
    assert first.columns == second.columns
    assert any((a != b).any() for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert "standard deviation" in capsys.readouterr().out


def test_a_closed_form_is_refused(capsys):
    assert "'interfacegan' in closed form" in refused(capsys, "interfacegan", "--out", "made")


def test_no_seed_is_refused(capsys):
    assert "expected at least one seed, got --count 0" in refused(capsys, "styleae", "--count", "0")
