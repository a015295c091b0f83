"""Packages that only some formats need: absent ones are named with the command that installs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.labelers import load_labeler
from tests import classifiers

ROOT = Path(__file__).parents[3]
ATTRIBUTES = {"a": {"kind": "continuous", "outputs": [0]}}
WORDS = {"a": {"kind": "binary", "prompts": ["no", "yes"]}}


@pytest.mark.parametrize(
    ("kind", "fields", "package", "extra"),
    [
        ("onnx", {"file": "a.onnx", "attributes": ATTRIBUTES}, "onnx", "onnx"),
        ("huggingface", {"model": ".", "attributes": ATTRIBUTES}, "transformers", "huggingface"),
        ("clip", {"model": ".", "attributes": WORDS}, "transformers", "huggingface"),
        (
            "timm",
            {"model": "a.pth", "architecture": "resnet10t", "num_classes": 3, "attributes": ATTRIBUTES},
            "timm",
            "timm",
        ),
    ],
)
def test_a_missing_package_is_named_with_its_extra(kind, fields, package, extra, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.onnx").touch()
    Path("a.pth").touch()
    monkeypatch.setitem(sys.modules, package, None)  # what Python takes for a package that is not there
    with pytest.raises(PipelineError) as refusal:
        classifiers.imported(tmp_path / "net", classifiers.classifier(kind, **fields))
    assert str(refusal.value) == (
        f"expected the package {package} of the extra {extra!r}, got none: run `make extras`"
    )


def test_a_missing_runtime_is_named_when_a_network_is_loaded(programs, tmp_path, monkeypatch):
    attributes = classifiers.portraits_attributes()
    source = classifiers.classifier("onnx", file=str(programs["onnx"]), attributes=attributes)
    classifiers.imported(tmp_path / "net", source)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(PipelineError, match=r"expected the package onnxruntime.*make extras"):
        load_labeler(tmp_path / "net")


def test_a_name_that_is_neither_here_nor_on_the_hub_is_refused(tmp_path, monkeypatch):
    import huggingface_hub

    def offline(*arguments, **keywords):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    source = classifiers.classifier("clip", model="some/where", attributes=WORDS)
    with pytest.raises(
        PipelineError, match="got 'no network', in some/where: check the name and the network"
    ):
        classifiers.imported(tmp_path / "net", source)


def test_a_name_on_the_hub_is_downloaded_once_without_code_or_pickles(tmp_path, monkeypatch):
    import huggingface_hub

    classifiers.write_clip(tmp_path / "cache")
    asked = []

    def download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        return str(tmp_path / "cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    image = classifiers.AS_IT_IS | {"resize": 32}
    source = classifiers.classifier("clip", model="some/clip", revision="v1", image=image, attributes=WORDS)
    classifiers.imported(tmp_path / "net", source)
    assert asked == [("some/clip", "v1", ["*.json", "*.txt", "model*.safetensors"])]


@pytest.mark.parametrize("package", ["timm", "transformers"])
def test_libraries_that_use_torchvision_are_imported_without_a_warning(package):
    code = (
        f"from pipeline.labelers.optional import import_optional; import_optional({package!r}, 'x'); "
        "import torchvision.transforms"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_optional_package_is_imported_for_nothing():
    optional = {"onnx", "onnxruntime", "transformers", "timm", "torchvision", "huggingface_hub"}
    code = (
        "import sys, pipeline.labelers, pipeline.importing.labelers, pipeline.config; "
        f"print(*sorted(set(sys.modules) & {optional}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""
