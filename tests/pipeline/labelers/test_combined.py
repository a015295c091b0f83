"""One labeler of several sources: attributes side by side, in order, each from where it was declared."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.importing.labelers import import_classifier
from pipeline.labelers import load_labeler
from pipeline.weights import CONFIG, weights_digest
from tests import classifiers

OWN = str(classifiers.PORTRAITS / "judge")


def sources(programs):
    every = classifiers.portraits_attributes()
    return (
        classifiers.classifier("onnx", file=str(programs["onnx"]), attributes={"glasses": every["glasses"]}),
        classifiers.classifier("folder", folder=OWN, attributes=["smile", "age"]),
        classifiers.classifier(
            "torchscript", file=str(programs["torchscript"]), attributes={"yaw": every["yaw"]}
        ),
    )


def test_columns_come_source_by_source(programs, portraits, images, tmp_path):
    loaded = classifiers.imported(tmp_path / "net", *sources(programs))
    assert loaded.columns == ("glasses", "expression", "age", "yaw")
    theirs, own = load_labeler(classifiers.PORTRAITS / "labeler"), load_labeler(OWN, ["expression", "age"])
    with torch.no_grad():
        labels = theirs(images)
        expected = torch.cat([labels[:, 1:2], own(images), labels[:, 2:3]], dim=1)
        assert torch.allclose(loaded(images), expected, atol=1e-5)


def test_attributes_are_chosen_by_name_across_sources(programs, images, tmp_path):
    whole = classifiers.imported(tmp_path / "net", *sources(programs))
    chosen = load_labeler(tmp_path / "net", ["yaw", "smile"])
    assert chosen.columns == ("yaw", "expression")
    with torch.no_grad():
        assert torch.equal(chosen(images), whole(images)[:, [3, 1]])


def test_a_single_folder_may_be_a_source(images, tmp_path):
    loaded = classifiers.imported(
        tmp_path / "net", classifiers.classifier("folder", folder=OWN, attributes=["age"])
    )
    with torch.no_grad():
        assert torch.equal(loaded(images), load_labeler(OWN, ["age"])(images))


def test_the_digest_covers_the_members(programs, tmp_path):
    import_classifier(sources(programs), tmp_path / "net")
    shutil.copytree(tmp_path / "net", tmp_path / "other")
    file = tmp_path / "other/1-folder/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    assert weights_digest(tmp_path / "net") != weights_digest(tmp_path / "other")
    with pytest.raises(
        PipelineError, match=r"1-folder/weights\.safetensors: the file is truncated or edited"
    ):
        load_labeler(tmp_path / "other")


def test_config_holds_the_declaration_and_a_digest_for_every_file(programs, tmp_path):
    import_classifier(sources(programs), tmp_path / "net")
    config = json.loads((tmp_path / "net" / CONFIG).read_text())
    assert [source["kind"] for source in config["sources"]] == ["onnx", "folder", "torchscript"]
    files = {path.relative_to(tmp_path / "net").as_posix() for path in (tmp_path / "net").rglob("*.*")}
    assert set(config["files"]) == files - {CONFIG}


def test_a_missing_folder_is_refused(tmp_path):
    missing = classifiers.classifier("folder", folder="models/nowhere", attributes=["age"])
    with pytest.raises(PipelineError, match=r"in models/nowhere, got no config\.json"):
        import_classifier([missing], tmp_path / "net")
    assert not list(tmp_path.iterdir())
