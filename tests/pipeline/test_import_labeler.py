"""From a declaration in params.yaml to labels: the command, the checks before a run, and the label stage."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import labelling
from pipeline.__main__ import main
from pipeline.attributes import columns_of
from pipeline.checks import check_networks
from pipeline.cli.compose import compose
from pipeline.config import load_params
from pipeline.data import read_manifest, read_table
from pipeline.errors import PipelineError
from pipeline.labelers import load_labeler
from pipeline.weights import CONFIG, WEIGHTS, sha256, weights_digest
from stages import label
from tests import classifiers, tiny

ROOT = Path(__file__).parents[2]
IMAGE = classifiers.AS_IT_IS | {"resize": 16}
COLUMNS = columns_of(tiny.ATTRIBUTES)
OUTPUTS = {
    attribute.name: {
        "kind": attribute.kind,
        "outputs": [COLUMNS.index(column) for column in attribute.columns],
        "classes": list(attribute.classes),
        "alias": attribute.alias,
    }
    for attribute in tiny.ATTRIBUTES
}


def declare(**sources: Any) -> None:
    """Put ``labeler.sources`` into params.yaml."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["labeler"] |= {"sources": sources, "weights": "models/imported/labeler"}
    Path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def program(kind: str, **changes: Any) -> dict[str, Any]:
    return {"kind": kind, "file": f"labeler.{kind}", "image": IMAGE, "attributes": OUTPUTS, **changes}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny project whose labeler lies there as TorchScript and as ONNX; entered."""
    monkeypatch.chdir(tmp_path)
    tiny.make_tiny_project(tmp_path)
    network = load_labeler("models/tiny/labeler")
    for kind in ("torchscript", "onnx"):
        classifiers.WRITERS[kind](tmp_path / f"labeler.{kind}", network, 16)
    return tmp_path


@pytest.mark.parametrize("kind", ["torchscript", "onnx"])
def test_a_foreign_classifier_labels(kind, project, monkeypatch, capsys):
    declare(weights=[program(kind)])
    assert main(["import-labeler"]) == 0
    assert "over 16 images" in capsys.readouterr().out
    check_networks(load_params())
    tiny.fill_latents()
    monkeypatch.setattr(labelling, "connect", lambda params: nullcontext())
    monkeypatch.setattr(labelling, "map_shards", serial)
    assert label.main() == 0
    labels, provenance = read_table("data/labels"), read_manifest("data/labels").provenance
    assert labels.column_names[3:] == list(COLUMNS)
    assert provenance["labeler"] == weights_digest("models/imported/labeler")
    first = Path("data/labels/part-00000.parquet").read_bytes()
    assert label.main() == 0
    assert Path("data/labels/part-00000.parquet").read_bytes() == first


def serial(shards, actor_class, kwargs, resources, on_result):
    """Actors in this process."""
    actor = actor_class(**kwargs, device="cpu")
    results = [actor(shard) for shard in shards]
    for result in results:
        on_result(result)
    return results


def test_outputs_that_look_wrong_are_doubted_at_import_and_after_labelling(project, monkeypatch, capsys):
    declare(weights=[program("onnx")])  # an untrained network says the same of everything
    assert main(["import-labeler"]) == 0
    assert "! gender: saturated" in capsys.readouterr().out
    tiny.fill_latents()
    monkeypatch.setattr(labelling, "connect", lambda params: nullcontext())
    monkeypatch.setattr(labelling, "map_shards", serial)
    assert label.main() == 0
    printed = capsys.readouterr().out
    assert "! gender: saturated" in printed and "check image (low, high" in printed


def test_judge_and_identity_are_imported_too(project, capsys):
    classifiers.write_clip(project / "clip")
    clip = {"kind": "clip", "model": "clip", "image": IMAGE | {"resize": 32}}
    words = {
        attribute.name: {
            "kind": attribute.kind,
            "prompts": list(attribute.classes) or ["no", "yes"],
            "classes": list(attribute.classes),
        }
        for attribute in tiny.ATTRIBUTES
    }
    declare(weights=[program("onnx")], judge=[clip | {"attributes": words}], identity=clip)
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["labeler"] |= {"judge": "models/imported/judge", "identity": "models/imported/identity"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert main(["import-labeler"]) == 0
    printed = capsys.readouterr().out
    assert "judge: models/imported/judge" in printed and "embeddings of width 8" in printed
    check_networks(load_params())


def test_sources_come_from_conf_when_a_name_is_given(project, capsys):
    params = yaml.safe_load(Path("params.yaml").read_text())
    group = params["labeler"] | {"weights": "models/named", "sources": {"weights": [program("onnx")]}}
    Path("conf/labeler").mkdir(parents=True)
    Path("conf/labeler/mine.yaml").write_text(yaml.safe_dump(group, sort_keys=False))
    assert main(["import-labeler", "--labeler", "mine"]) == 0
    assert load_labeler("models/named").columns == COLUMNS
    assert main(["import-labeler", "--labeler", "mnie"]) == 1
    assert "got 'mnie', in --labeler: did you mean 'mine'?" in capsys.readouterr().err


def test_nothing_declared_says_what_to_do(project, capsys):
    assert main(["import-labeler"]) == 1
    assert "expected classifiers to import, got none, in labeler.sources" in capsys.readouterr().err


def test_what_was_not_imported_is_refused_before_a_run(project):
    declare(weights=[program("onnx")])
    with pytest.raises(
        PipelineError, match="got no network, in models/imported/labeler: run `python -m pipeline"
    ):
        check_networks(load_params())


def test_what_was_imported_from_another_declaration_is_refused_before_a_run(project):
    declare(weights=[program("onnx")])
    assert main(["import-labeler"]) == 0
    declare(weights=[program("onnx", image=IMAGE | {"channels": "bgr"})])
    with pytest.raises(
        PipelineError, match="got a network of another declaration, in models/imported/labeler"
    ):
        check_networks(load_params())


def test_a_declaration_that_was_changed_stops_the_label_stage(project, capsys):
    declare(weights=[program("onnx")])
    assert main(["import-labeler"]) == 0
    tiny.fill_latents()
    declare(weights=[program("onnx", image=IMAGE | {"low": -2.0})])
    assert label.main() == 1
    assert "run `python -m pipeline import-labeler`" in capsys.readouterr().err
    assert not Path("data/labels").exists()


def test_a_network_of_our_own_is_another_declaration(project):
    declare(judge=[program("onnx")])
    with pytest.raises(PipelineError, match="another declaration, in models/tiny/judge: run"):
        check_networks(load_params())


@pytest.mark.parametrize("judge", [None, "absent"])
def test_a_missing_judge_is_explained(project, judge):
    params = yaml.safe_load(Path("params.yaml").read_text())
    if judge is None:
        params["labeler"]["judge"] = None
    else:
        del params["labeler"]["judge"]
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(
        PipelineError, match=r"labeler\.judge: expected a second classifier.*its own homework"
    ):
        load_params()


@pytest.mark.parametrize(
    ("name", "overrides", "columns"),
    [
        ("celeba40", [], ("gender", "glasses", "beardless", "baldness", "young", "expression")),
        ("clip_ffhq", [], ("gender", "glasses", "yaw", "pitch", "baldness", "beard", "age", "expression")),
        ("clip_afhq", ["editor=[styleae]"], ("species",)),
    ],
)
def test_the_worked_examples_compose(name, overrides, columns, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    compose([f"labeler={name}", *overrides], tmp_path / "params.yaml")
    labeler = load_params(tmp_path / "params.yaml").labeler
    for sources in (labeler.sources.weights, labeler.sources.judge):
        assert tuple(attribute for source in sources for attribute in source.attributes) == columns
    assert labeler.attributes == columns
    assert labeler.sources.identity is not None


def test_the_digest_of_a_network_of_our_own_is_that_of_its_two_files(project):
    both = (sha256(f"models/tiny/labeler/{name}") for name in (WEIGHTS, CONFIG))
    assert weights_digest("models/tiny/labeler") == hashlib.sha256("".join(both).encode()).hexdigest()
