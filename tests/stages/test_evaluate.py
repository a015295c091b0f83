"""The evaluate stage on a tiny project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import report
from pipeline.config import load_params
from pipeline.data import read_table, to_tensors
from pipeline.editors import EditingData, editor_class
from pipeline.metrics.summary import HEADLINE
from pipeline.weights import save_weights
from stages import evaluate
from tests.evaluated import FULL, change_params, make_trained_project, train_editor, without_ray
from tests.tiny import COLUMNS, run_stage

NAMES = list(COLUMNS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny project with labels and two trained editors."""
    return make_trained_project(tmp_path_factory.mktemp("evaluate"))


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, entered, in which nothing needs Ray and no figure is drawn."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "_draw", lambda *arguments: None)
    return tmp_path


@pytest.fixture
def mapped(monkeypatch):
    """Evaluations stay in this process."""
    return without_ray(monkeypatch)


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


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Parameters and report of a training that went through all of the protocol."""
    project = tmp_path_factory.mktemp("full")
    make_trained_project(project, ["plain@1"], count=440, evaluate=FULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        patch.setattr(report, "_draw", lambda *arguments: None)
        mapped = without_ray(patch)
        assert evaluate.main("plain@1") == 0
    assert mapped.counts == [2 + 1 + 3 + 1]  # single edits, overwritten attributes, sequences, from outside
    return project / "reports/plain@1"


def test_the_report_is_complete(reported):
    found = {path.relative_to(reported).as_posix() for path in reported.rglob("*") if path.is_file()}
    assert found == {
        "edits.parquet",
        "explorer.html",
        "faces.npz",
        "metrics.json",
        "overwritten.parquet",
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
    assert len(edits) == metrics["edits"] == 4 * len(NAMES)
    assert metrics["success"] == pytest.approx(edits["success"].mean(), abs=1e-6)
    assert metrics["unreached"] == pytest.approx(1 - edits["reached"].mean(), abs=1e-6)
    assert metrics["success_low"] <= metrics["success"] <= metrics["success_high"]
    assert metrics["train_seconds"] == 1.5 and metrics["delta"] == 1.0
    assert list(metrics["attributes"]) == NAMES
    assert np.abs(edits.loc[edits["reached"], "labeler_move"] - 1).max() <= 0.5
    assert edits.loc[~edits["reached"], "dependency"].isna().all()


def test_what_was_not_asked_is_not_measured(reported):
    metrics = json.loads((reported / "metrics.json").read_text())
    further = {"sliders", "overwrite", "sequence", "consistency", "outside", "code"}
    times = {"edit_ms_1", "edit_ms_1024", "evaluate_seconds"}  # equal runs are equal bytes without them
    assert not metrics.keys() & (further | times)
    assert list(metrics["curves"]) == ["1"]
    assert pq.read_table(reported / "overwritten.parquet").num_rows == 0


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


def leaves(values, prefix=""):
    """Every number of nested metrics by its path."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def test_all_of_the_protocol_is_in_the_metrics(full):
    metrics = json.loads((full / "metrics.json").read_text())
    found = dict(leaves(metrics))
    assert all(isinstance(value, (int, float)) and np.isfinite(value) for value in found.values())
    expected = {
        *(f"sliders/{name}" for name in ("spearman", "uniformity", "path_length")),
        *(f"overwrite/{name}" for name in ("success", "error", "mse", "psnr", "ssim", "identity")),
        *(f"sequence/step_{n}/{name}" for n in range(1, 6) for name in ("accuracy", "identity", "fid")),
        *(f"consistency/{name}" for name in ("identity", "rmse")),
        *(f"outside/{name}" for name in HEADLINE),
        *(f"code/{name}" for name in ("dci_disentanglement", "dci_completeness", "mig", "sap")),
        *(f"realism/{name}" for name in ("fid", "kid")),
        *(f"curves/{delta}/success" for delta in ("0.25", "1")),
        *("parameters", "edit_ms_1", "edit_ms_1024", "evaluate_seconds", "train_seconds"),
    }
    assert expected <= found.keys(), expected - found.keys()
    assert metrics["count"] == 20 and metrics["reconstruction"]["psnr"] == 100


def test_both_sides_of_every_move_are_in_the_table(full):
    edits = pq.read_table(full / "edits.parquet").to_pandas()
    metrics = json.loads((full / "metrics.json").read_text())
    assert set(edits["delta"]) == {0.25, 1.0} and set(edits["direction"]) == {-1.0, 1.0}
    at_one = edits[edits["delta"] == 1.0]
    assert metrics["edits"] == len(at_one) < 2 * 20 * len(NAMES)  # some ranges end before one σ
    assert metrics["success"] == pytest.approx(at_one["success"].mean(), abs=1e-6)
    assert metrics["curves"]["0.25"]["rmse"] < metrics["curves"]["1"]["rmse"]


def test_overwritten_attributes_have_a_table_of_their_own(full):
    table = pq.read_table(full / "overwritten.parquet").to_pandas()
    metrics = json.loads((full / "metrics.json").read_text())["overwrite"]
    assert len(table) == 3 * len(NAMES) and table["attribute"].tolist()[: len(NAMES)] == NAMES
    ids = pq.read_table(full / "edits.parquet")["id"].to_pylist()
    assert table["id"].unique().tolist() == sorted(set(ids))[:3]
    assert metrics["success"] == pytest.approx(table["success"].mean(), abs=1e-6)
    assert metrics["mse"] == pytest.approx((table["rmse"] ** 2).mean(), abs=1e-6)


def test_the_largest_moves_are_kept_in_pictures(full):
    with np.load(full / "faces.npz", allow_pickle=False) as file:
        assert file["edited"].shape == (2, len(NAMES), 16, 16, 3)
        assert file["attributes"].tolist() == NAMES
        assert file["moves"].shape == (2, len(NAMES), 3, len(NAMES))
        np.testing.assert_allclose(file["moves"][:, :, 1], 0, atol=1e-4)


def test_the_number_of_chunks_changes_nothing_that_is_measured(project, mapped):
    assert evaluate.main("interfacegan") == 0
    before = pq.read_table("reports/interfacegan/edits.parquet").to_pandas()
    change_params(evaluate={"chunk": 4})
    assert evaluate.main("interfacegan") == 0
    after = pq.read_table("reports/interfacegan/edits.parquet").to_pandas()
    assert mapped.counts == [2, 1]
    assert (before["reached"] == after["reached"]).all()
    np.testing.assert_allclose(before["labeler_move"], after["labeler_move"], atol=1e-3)


def test_an_editor_that_does_nothing_is_reported_all_the_same(project, mapped):
    weights = Path("models/plain/weights.safetensors")
    editor = editor_class("interfacegan")(COLUMNS, 16)
    save_weights(
        weights.parent, {name: 0 * value for name, value in editor.state_dict().items()}, editor.config()
    )
    assert evaluate.main("plain") == 0
    metrics = json.loads(Path("reports/plain/metrics.json").read_text())
    assert metrics["success"] == 0 and metrics["unreached"] == 1 and "rmse" not in metrics


def test_labels_of_another_generator_are_refused_and_the_report_stays(project, mapped, capsys):
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


def test_a_missing_editor_is_refused(project, mapped, capsys):
    Path("models/interfacegan/weights.safetensors").unlink()
    assert evaluate.main("interfacegan") == 1
    assert "models/interfacegan" in capsys.readouterr().err


def test_an_editor_of_other_attributes_is_refused(project, mapped, capsys):
    w, attrs = to_tensors(read_table("data/labels", split="train"), NAMES[:2])
    settings = load_params().editor["plain"]
    editor = editor_class("interfacegan").build(settings, EditingData(w, attrs, tuple(NAMES[:2])), None, 0)
    save_weights("models/interfacegan", editor.state_dict(), editor.config())
    assert evaluate.main("interfacegan") == 1
    assert "of the editor" in capsys.readouterr().err


def test_a_training_is_evaluated_under_its_own_name(project, mapped):
    train_editor("plain@7")
    assert evaluate.main("plain@7") == 0
    assert Path("reports/plain@7/metrics.json").is_file()
