"""The evaluate and compare stages on a tiny project."""

from __future__ import annotations

import csv
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipeline import evaluation, report
from pipeline.comparison import rows
from pipeline.config import load_params
from pipeline.data import read_table, to_tensors
from pipeline.editors import EditingData, editor_class, save_editor
from pipeline.weights import save_weights
from stages import compare, evaluate
from tests.tiny import COLUMNS, fill_labels, make_tiny_project, run_stage

NAMES = list(COLUMNS)
EDITORS = ("interfacegan", "plain")
MAPPED = []


def map_here(shards, actor_class, actor_kwargs, resources, on_result):
    """``map_shards`` without Ray, in reverse order."""
    MAPPED.append(len(shards))
    actor = actor_class(**actor_kwargs, device="cpu")
    results = {}
    for i in reversed(range(len(shards))):
        results[i] = actor(shards[i])
        on_result(results[i])
    return [results[i] for i in range(len(shards))]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny project with labels and two trained editors."""
    project = tmp_path_factory.mktemp("evaluate")
    settings = {
        "interfacegan": {"kind": "interfacegan"},
        "plain": {"kind": "interfacegan", "conditional": False},
    }
    make_tiny_project(project, {"editor": settings})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        fill_labels()
        params = load_params()
        w, attrs = to_tensors(read_table("data/labels", split="train"), NAMES)
        for name in EDITORS:
            build = editor_class("interfacegan").build
            editor = build(params.editor[name], EditingData(w, attrs, tuple(NAMES)), None, 0)
            save_editor(editor, f"models/{name}")
            Path(f"models/{name}/history.csv").write_text("epoch,seconds\n0,1.5\n")
    return project


def without_ray(patch):
    patch.setattr(evaluation, "connect", lambda params: nullcontext())
    patch.setattr(evaluation, "map_shards", map_here)


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, entered, in which nothing needs Ray and no figure is drawn."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    without_ray(monkeypatch)
    monkeypatch.setattr(report, "_draw", lambda *arguments: None)
    return tmp_path


@pytest.fixture(scope="module")
def reported(made, tmp_path_factory):
    """The whole report of one editor."""
    project = tmp_path_factory.mktemp("reported")
    shutil.copytree(made, project, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        without_ray(patch)
        assert evaluate.main("interfacegan") == 0
    return project / "reports/interfacegan"


def test_the_report_is_complete(reported):
    found = {path.relative_to(reported).as_posix() for path in reported.rglob("*") if path.is_file()}
    assert found == {
        "edits.parquet",
        "explorer.html",
        "faces.npz",
        "metrics.json",
        "plots/attributes.csv",
        "plots/rescoring.csv",
        "plots/sliders.csv",
        *(f"figures/{name}.png" for name in ("attributes", "edits", "rescoring")),
        *(f"figures/traversal_{name}.png" for name in NAMES),
        *(f"figures/sweep/{step:02d}.png" for step in range(3)),
    }


def test_the_numbers_hold_together(reported):
    metrics = json.loads((reported / "metrics.json").read_text())
    edits = pq.read_table(reported / "edits.parquet").to_pandas()
    assert len(edits) == 4 * len(NAMES)
    assert metrics["success"] == pytest.approx(edits["success"].mean(), abs=1e-6)
    assert metrics["unreached"] == pytest.approx(1 - edits["reached"].mean(), abs=1e-6)
    assert metrics["success_low"] <= metrics["success"] <= metrics["success_high"]
    assert metrics["train_seconds"] == 1.5
    assert list(metrics["attributes"]) == NAMES
    assert np.abs(edits.loc[edits["reached"], "labeler_move"] - 1).max() <= 0.5
    assert edits.loc[~edits["reached"], "dependency"].isna().all()


def test_ray_changes_no_byte(reported, made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    done = run_stage(tmp_path, "evaluate", "interfacegan")
    assert done.returncode == 0, done.stderr
    assert "success" in done.stdout and "on 4 faces" in done.stdout
    for path in sorted(path for path in reported.rglob("*") if path.is_file()):
        assert (tmp_path / path.relative_to(reported.parents[1])).read_bytes() == path.read_bytes(), path.name


def test_only_test_latents_are_evaluated(reported, made):
    ids = pq.read_table(reported / "edits.parquet")["id"].to_pylist()
    assert sorted(set(ids)) == read_table(made / "data/labels", split="test")["id"].to_pylist()


def test_the_number_of_chunks_changes_nothing_that_is_measured(project):
    assert evaluate.main("interfacegan") == 0
    before = pq.read_table("reports/interfacegan/edits.parquet").to_pandas()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["evaluate"]["chunk"] = 4
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert evaluate.main("interfacegan") == 0
    after = pq.read_table("reports/interfacegan/edits.parquet").to_pandas()
    assert MAPPED[-2:] == [2, 1]
    assert (before["reached"] == after["reached"]).all()
    np.testing.assert_allclose(before["labeler_move"], after["labeler_move"], atol=1e-3)


def test_labels_of_another_generator_are_refused_and_the_report_stays(project, capsys):
    old = Path("reports/interfacegan/metrics.json")
    old.parent.mkdir(parents=True)
    old.write_text("old")
    config = Path("models/tiny/generator/config.json")
    config.write_text(config.read_text() + "\n")
    assert evaluate.main("interfacegan") == 1
    assert "generator" in capsys.readouterr().err
    assert old.read_text() == "old"


def test_an_unknown_editor_is_refused_with_the_nearest(project, capsys):
    assert evaluate.main("interfacgan") == 1
    assert "did you mean 'interfacegan'?" in capsys.readouterr().err


def test_a_missing_editor_is_refused(project, capsys):
    Path("models/interfacegan/weights.safetensors").unlink()
    assert evaluate.main("interfacegan") == 1
    assert "models/interfacegan" in capsys.readouterr().err


def test_an_editor_of_other_attributes_is_refused(project, capsys):
    w, attrs = to_tensors(read_table("data/labels", split="train"), NAMES[:2])
    settings = load_params().editor["plain"]
    editor = editor_class("interfacegan").build(settings, EditingData(w, attrs, tuple(NAMES[:2])), None, 0)
    save_weights("models/interfacegan", editor.state_dict(), editor.config())
    assert evaluate.main("interfacegan") == 1
    assert "of the editor" in capsys.readouterr().err


def test_compare_puts_all_editors_in_one_table(project):
    assert [evaluate.main(name) for name in EDITORS] == [0, 0]
    assert compare.main() == 0
    table = list(csv.DictReader(Path("comparison/table.csv").read_text().splitlines()))
    assert [row["editor"] for row in table] == list(EDITORS)
    metrics = json.loads(Path("reports/plain/metrics.json").read_text())
    assert float(table[1]["success"]) == metrics["success"]
    assert float(table[1]["success_low"]) == metrics["success_low"]
    assert "| plain |" in Path("comparison/table.md").read_text()
    assert json.loads(Path("comparison/metrics.json").read_text())["plain"]["train_seconds"] == 1.5
    for name in ("success.png", "edits.png"):
        Image.open(Path("comparison", name)).verify()
    assert [row["editor"] for row in rows(Path("reports"))] == sorted(EDITORS)


def test_compare_without_a_report_names_it(project, capsys):
    assert compare.main() == 1
    assert "reports/interfacegan/metrics.json" in capsys.readouterr().err


def test_compare_refuses_a_column_that_nobody_has(project, capsys):
    assert [evaluate.main(name) for name in EDITORS] == [0, 0]
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["compare"] = {"columns": ["sucess"]}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert compare.main() == 1
    assert "did you mean 'success'?" in capsys.readouterr().err
