"""The label stage with its actors in this process; ``tests/cluster`` has the same on Ray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from pipeline import labelling
from pipeline.config import load_params
from pipeline.data import read_manifest, read_table
from pipeline.labelling import LabelActor
from pipeline.weights import load_weights, save_weights
from stages import label
from tests.tiny import COLUMNS, fill_labels, fill_latents, make_tiny_project

LABELS = Path("data/labels")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny project with latents, and the names of the parts that are labelled in it."""
    monkeypatch.chdir(tmp_path)
    make_tiny_project(tmp_path)
    fill_latents()
    labelled = []

    def serial(shards, actor_class, kwargs, resources, on_result):
        actor = actor_class(**kwargs, device="cpu")
        results = []
        for shard in shards:
            results.append(actor(shard))
            labelled.append(shard["name"])
            on_result(results[-1])
        return results

    monkeypatch.setattr(labelling, "map_shards", serial)
    monkeypatch.setattr(labelling, "connect", lambda params: nullcontext())
    return labelled


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in LABELS.iterdir()}


def test_keeps_rows_and_order_and_adds_a_column_for_each_attribute(project):
    assert label.main() == 0
    labels, latents = read_table(LABELS), read_table("data/latents")
    assert labels.select(latents.column_names).equals(latents)
    assert labels.column_names[3:] == list(COLUMNS)


def test_manifest_says_what_the_labels_were_made_of(project):
    label.main()
    provenance, latents = read_manifest(LABELS).provenance, read_manifest("data/latents")
    assert provenance["latents"] == latents.digest
    assert {k: provenance[k] for k in latents.provenance} == latents.provenance
    assert provenance["precision"] == "fp32" and len(provenance["labeler"]) == 64


def test_second_run_gives_the_same_bytes(project):
    label.main()
    first = contents()
    label.main()
    assert contents() == first


def test_shards_at_once_give_the_same_bytes_and_take_turns_at_the_networks(project, monkeypatch):
    fill_labels()
    expected = contents()
    inside, most = [], []

    def watched(synthesize, labeler, w, precision):
        inside.append(w)
        most.append(len(inside))
        scores = scores_of(synthesize, labeler, w, precision)
        inside.pop()
        return scores

    def threaded(shards, actor_class, kwargs, resources, on_result):
        actor = actor_class(**kwargs, device="cpu")
        with ThreadPoolExecutor(actor_class.at_once) as threads:
            return list(threads.map(actor, shards))

    scores_of = labelling.scores_of
    monkeypatch.setattr(labelling, "scores_of", watched)
    monkeypatch.setattr(labelling, "map_shards", threaded)
    assert label.main() == 0
    assert contents() == expected
    assert LabelActor.at_once > 1 and max(most) == 1


def test_doubts_look_at_the_first_rows_alone(project, monkeypatch):
    fill_labels()
    (LABELS / "part-00003.parquet").unlink()
    monkeypatch.setattr(labelling, "LOOKED_AT", 45)  # of parts of 20 rows
    doubts = labelling.doubts_about_labels(load_params())
    assert doubts and all("60 different images" in doubt for doubt in doubts)


def test_only_what_is_missing_is_labelled(project, monkeypatch):
    fill_labels()
    expected = contents()

    def die(self, part):
        if part.name == "part-00002.parquet":
            raise KeyboardInterrupt
        return label_part(self, part)

    label_part = labelling.LabelActor.label_part
    monkeypatch.setattr(labelling.LabelActor, "label_part", die)
    assert label.main() == 130
    (seals,) = Path(".work/label").glob("*/seals")
    assert sorted(path.name for path in seals.iterdir()) == [
        "part-00000.parquet.json",
        "part-00001.parquet.json",
    ]
    (next(seals.parent.glob("parts")) / ".part-00002.parquet.99").write_bytes(b"half a part")

    monkeypatch.setattr(labelling.LabelActor, "label_part", label_part)
    project.clear()
    assert label.main() == 0
    assert project == ["part-00002.parquet", "part-00003.parquet"]
    assert contents() == expected
    assert not list(Path(".work/label").iterdir())


def test_with_a_storage_the_parts_stay_there_and_the_manifest_says_where(project, monkeypatch, tmp_path):
    fill_labels()
    expected, rows = contents(), read_table(LABELS)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["cluster"]["storage"] = f"file://{tmp_path}/storage"
    Path("params.yaml").write_text(yaml.safe_dump(params))

    assert label.main() == 0
    assert list(contents()) == ["manifest.json"]
    assert read_manifest(LABELS).here().to_bytes() == expected["manifest.json"]
    assert read_table(LABELS).equals(rows)
    (there,) = (tmp_path / "storage/label").glob("*/parts")
    assert {path.name for path in there.iterdir()} == set(expected)

    (there / "part-00002.parquet").unlink()
    project.clear()
    assert label.main() == 0
    assert project == ["part-00002.parquet"]


def refused(capsys, *texts: str) -> None:
    """The stage fails with one line that holds the texts, and the labels that are there stay as they were."""
    before = contents() if LABELS.exists() else None
    assert label.main() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and all(text in error for text in texts), error
    assert (contents() if LABELS.exists() else None) == before


def test_latents_of_another_generator_are_refused(project, capsys):
    label.main()
    weights = load_weights("models/tiny/generator")
    tensors = {name: t + 1 for name, t in weights.tensors.items()}
    save_weights("models/tiny/generator", tensors, weights.config)
    refused(capsys, "generator", "data/latents")


def test_truncated_latents_are_refused_before_any_work(project, capsys):
    label.main()
    project.clear()
    part = Path("data/latents/part-00003.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("precision: fp32", "precision: bf16"))
    refused(capsys, "part-00003.parquet", "truncated")
    assert project == []


def test_scores_that_are_no_numbers_are_refused_with_the_id(project, capsys):
    weights = load_weights("models/tiny/labeler")
    tensors = {**weights.tensors, "shift": weights.tensors["shift"] * float("nan") + float("nan")}
    save_weights("models/tiny/labeler", tensors, weights.config)
    refused(capsys, "expected finite numbers for the labels", "id 0")


def test_unknown_attribute_is_refused_with_the_nearest(project, capsys):
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("- age", "- aeg"))
    refused(capsys, "'aeg'", "did you mean 'age'?")


def test_half_precision_needs_a_generator_that_clamps(project, capsys):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["label"]["precision"] = "fp16"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert label.main() == 1
    assert "conv_clamp for label.precision fp16, got one without: use bf16 or fp32" in capsys.readouterr().err
    assert not LABELS.exists()
