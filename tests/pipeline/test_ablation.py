"""The ablation: its variants, the experiments that they become, and the table."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import report
from pipeline.ablation import Variant, load_variants, overrides_of, rows_of, table_csv, table_md
from pipeline.cli.ablate import experiment_name
from pipeline.cli.compose import compose
from pipeline.config import load_params
from pipeline.data import read_table
from pipeline.editors.settings import StyleAEParams
from pipeline.errors import PipelineError
from pipeline.evaluation import evaluate
from tests.evaluated import make_trained_project, without_ray

ROOT = Path(__file__).parents[2]
PRESENT = StyleAEParams()
DEFAULT = Variant("default", {}, PRESENT)


def metrics(success, **more):
    ends = {"success": success, "success_low": success - 0.1, "success_high": success + 0.1}
    return {**ends, "reconstruction": {"psnr": 30.0}, "train_seconds": 12.4, **more}


@pytest.fixture
def variants(tmp_path):
    """A file of two variants."""
    path = tmp_path / "ablation.yaml"
    path.write_text(
        "variants:\n  layers_1: {layers: 1}\n  plain: {edit_weight: 0.0, residual: false, "
        "style_layers: {age: [4, 7], beard: [5, 9]}}\n"
    )
    return path


def test_each_variant_of_the_project_changes_something_that_is_allowed():
    present = load_params(ROOT / "params.yaml").editor_settings("styleae")
    found = load_variants(ROOT / "conf/ablation.yaml", present)
    assert found[0] == Variant("default", {}, present)
    assert all(each.settings != present for each in found[1:])
    assert len({repr(each.settings) for each in found}) == len(found)


def test_only_some_variants_and_the_default(variants):
    assert [each.name for each in load_variants(variants, PRESENT)] == ["default", "layers_1", "plain"]
    assert [each.name for each in load_variants(variants, PRESENT, ["plain"])] == ["default", "plain"]
    with pytest.raises(PipelineError, match="unknown variant 'layer_1'.*layers_1"):
        load_variants(variants, PRESENT, ["layer_1"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("variants: {a: {layer: 1}}", "layer"),
        ("variants: {a: {layers: 0}}", "expected a number at least 1"),
        ("variants: {default: {layers: 2}}", "expected a name of a-z"),
        ("variants: {a/b: {layers: 2}}", "expected a name of a-z"),
        ("variants: [", "while parsing"),
    ],
)
def test_wrong_variants_are_named(tmp_path, text, expected):
    (tmp_path / "ablation.yaml").write_text(text)
    with pytest.raises(PipelineError, match=expected):
        load_variants(tmp_path / "ablation.yaml", PRESENT)


def test_hydra_composes_the_variant_that_was_checked(variants, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    present = load_params().editor_settings("styleae")
    plain = load_variants(variants, present)[-1]
    compose(overrides_of(plain, faces=7), tmp_path / "params.yaml")
    composed = load_params(tmp_path / "params.yaml")
    assert composed.editor_settings("styleae") == plain.settings != present
    assert (composed.evaluate.split, composed.evaluate.count) == ("val", 7)
    compose(overrides_of(plain, faces=None), tmp_path / "params.yaml")
    assert load_params(tmp_path / "params.yaml").evaluate.count == load_params().evaluate.count


def test_an_experiment_has_another_name_when_anything_differs(monkeypatch):
    monkeypatch.chdir(ROOT)
    params = load_params()
    other = replace(params, evaluate=replace(params.evaluate, count=7))
    wide = Variant("default", {}, StyleAEParams(width=8))
    names = [experiment_name(*each) for each in ((DEFAULT, params), (DEFAULT, other), (wide, params))]
    assert len(set(names)) == 3 and all(re.fullmatch(r"default-[0-9a-f]{16}", name) for name in names)
    assert experiment_name(DEFAULT, params) == names[0]


def test_differences_are_from_the_default_with_their_sign():
    results = {
        "default": (DEFAULT, metrics(0.9)),
        "layers_1": (Variant("layers_1", {"layers": 1}, PRESENT), metrics(0.85, dependency=0.2)),
    }
    default, other = rows_of(results)
    assert "success_difference" not in default
    assert other["success_difference"] == pytest.approx(-0.05)
    assert "dependency_difference" not in other  # which the default lacks
    page = table_md([default, other], 100)
    assert "| layers_1 | `layers=1` | 0.850 [0.750, 0.950] (-0.050) | 0.200 | – |" in page
    assert "| 30.00 (+0.00) |" in page and "on 100 latents" in page
    first, second = csv.DictReader(io.StringIO(table_csv([default, other])))
    assert (first["success"], first["success_difference"], first["changes"]) == ("0.9", "", "")
    assert second["reconstruction/psnr"] == "30.0" and float(second["success_difference"]) == -0.05


def test_without_the_default_there_are_no_differences():
    (row,) = rows_of({"layers_1": (Variant("layers_1", {"layers": 1}, PRESENT), metrics(0.9))})
    assert not [key for key in row if key.endswith("_difference")]


@pytest.mark.parametrize("split", ["test", "val"])
def test_an_evaluation_edits_the_first_latents_of_the_asked_split(split, tmp_path, monkeypatch):
    make_trained_project(tmp_path, ["plain"], evaluate={"split": split, "count": 2})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(report, "_draw", lambda *arguments: None)
    without_ray(monkeypatch)
    evaluate("plain", load_params())
    edited = pq.read_table("reports/plain/edits.parquet")["id"].to_pylist()
    assert sorted(set(edited)) == read_table("data/labels", ["id"], split)["id"].to_pylist()[:2]
