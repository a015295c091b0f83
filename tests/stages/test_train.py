"""What the train stage refuses before it asks for Ray; ``tests/cluster`` has the training itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.paths import LABELS, PULLBACK
from pipeline.scratch import code_digest, fingerprint
from stages import train
from tests.tiny import fill_labels, fill_metric, make_tiny_project


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A tiny project as the working directory; whoever asks for Ray fails."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.training.connect", None)
    return make_tiny_project(tmp_path)


def refused(capsys, editor: str, *texts: str) -> None:
    assert train.main(editor) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(text in error for text in texts), error
    assert not Path("models", editor).exists()


def test_unknown_editor_is_refused_with_the_nearest(capsys):
    refused(capsys, "stileae", "unknown editor 'stileae'", "did you mean 'styleae'?")


def test_no_labels_are_refused(capsys):
    refused(capsys, "styleae", "manifest.json", str(LABELS))


def test_labels_of_another_generator_are_refused(capsys):
    fill_labels()
    manifest = LABELS / "manifest.json"
    content = json.loads(manifest.read_text())
    content["provenance"]["generator"] = "0" * 64
    manifest.write_text(json.dumps(content))
    refused(capsys, "styleae", "generator", str(LABELS), "dvc repro")


def test_labels_of_other_attributes_are_refused(capsys):
    fill_labels()
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("  - age\n", ""))
    refused(capsys, "styleae", "attributes", str(LABELS))


def test_metric_of_another_generator_is_refused(capsys):
    fill_labels()
    fill_metric()
    (PULLBACK / "metric.json").write_text(json.dumps({"generator": "0" * 64}))
    refused(capsys, "styleae", "metric of generator", "pullback")


def test_a_run_is_known_by_everything_that_determines_it():
    facts = {"seed": 0, "settings": {"rank": 8}}
    assert fingerprint(facts) == fingerprint({"settings": {"rank": 8}, "seed": 0})
    assert fingerprint(facts) != fingerprint({**facts, "seed": 1})
    assert code_digest("loop", "editors") == code_digest("editors", "loop") != code_digest("loop")
