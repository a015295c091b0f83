"""Programs in files may compute, and nothing else: what could run code is refused before torch sees it."""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.labelers import Labeler, load_labeler
from pipeline.labelers.export import check_program
from pipeline.weights import CONFIG, sha256
from tests import classifiers


def imported(folder: Path, kind: str, file: Path) -> Labeler:
    attributes = classifiers.portraits_attributes()
    return classifiers.imported(folder, classifiers.classifier(kind, file=str(file), attributes=attributes))


def reseal(folder: Path) -> None:
    """Write the digests that the files have now, as someone who edits a folder on purpose would."""
    config = json.loads((folder / CONFIG).read_text())
    config["files"] = {name: sha256(folder / name) for name in config["files"]}
    (folder / CONFIG).write_text(json.dumps(config))


def repack(source: Path, target: Path, edit: Callable[[str, bytes], bytes]) -> Path:
    """An archive with some records replaced: ``edit(name, content)`` gives the new content."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, edit(name, old.read(name)))
    return target


class Bomb:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def scripted(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


class Saves(nn.Module):
    """A program that writes a file."""

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, "written")
        return x.flatten(1)


class SavesWhenLoaded(nn.Module):
    """A program that writes a file before anyone has called it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    @torch.jit.export
    def __getstate__(self) -> bool:
        return self.training

    @torch.jit.export
    def __setstate__(self, state: bool) -> None:
        self.training = state
        torch.save(torch.zeros(1), "written")


@pytest.mark.parametrize("module", [Saves, SavesWhenLoaded])
def test_torchscript_that_writes_files_is_refused_before_it_is_loaded(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = scripted(tmp_path / "model", module())
    with pytest.raises(PipelineError, match="expected a program of tensor operators, got save"):
        imported(tmp_path / "net", "torchscript", file)
    assert not (tmp_path / "written").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.load(file)  # so the test would have seen it
    assert (tmp_path / "written").exists() == (module is SavesWhenLoaded)


@pytest.mark.parametrize(
    ("mention", "found"),
    [("ops.quantized.add", "quantized::"), ("__torch__.torch.classes.a.B", "torch.classes")],
)
def test_torchscript_with_operators_of_others_is_refused(mention, found, tmp_path, programs):
    def edit(name: str, content: bytes) -> bytes:
        return content + f"\n# {mention}\n".encode() if name.endswith(".py") else content

    file = repack(programs["torchscript"], tmp_path / "model", edit)
    with pytest.raises(PipelineError, match=re.escape(f"got {found},")):
        imported(tmp_path / "net", "torchscript", file)


def test_pickled_sample_inputs_of_an_export_are_never_read(programs, portraits, images, tmp_path):
    def edit(name: str, content: bytes) -> bytes:
        return pickle.dumps(Bomb(tmp_path / "bomb")) if "sample_inputs" in name else content

    file = repack(programs["export"], tmp_path / "model", edit)
    loaded = imported(tmp_path / "net", "export", file)
    assert torch.allclose(loaded(images), portraits(images), atol=1e-5)
    assert not (tmp_path / "bomb").exists()


def test_pickled_weights_of_an_export_are_refused(programs, tmp_path):
    def edit(name: str, content: bytes) -> bytes:
        pickled = content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        return pickled if "weights_config" in name else content

    file = repack(programs["export"], tmp_path / "model", edit)
    with pytest.raises(PipelineError, match=r"expected plain tensors, got '.*', which would be unpickled"):
        imported(tmp_path / "net", "export", file)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("torch.ops.aten.relu_.default", "torch.os.system", "a call of 'torch.os.system'"),
        ("torch.ops.aten.relu_.default", "torch.ops.aten.from_file.default", "a call of 'torch.ops"),
        ("torch.ops.aten.relu_.default", "torch.ops.aten.__init__.__globals__", "a call of 'torch.ops"),
        ("Symbol('", "__import__('os').getpid() or Symbol('", 'the text "__import__'),
        ('"name": "img"', '"name": "img=print(1)"', "the text 'img=print"),
        ("builtins.tuple", "builtins.object", "inputs or outputs in 'builtins.object'"),
    ],
)
def test_an_export_whose_texts_would_be_code_is_refused(old, new, found, programs, tmp_path):
    def edit(name: str, content: bytes) -> bytes:
        return content.replace(old.encode(), new.encode()) if name.endswith("models/model.json") else content

    file = repack(programs["export"], tmp_path / "model", edit)
    with pytest.raises(PipelineError, match=re.escape(found)):
        imported(tmp_path / "net", "export", file)


def test_guards_of_an_export_are_not_compiled(programs, images, tmp_path):
    def edit(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        guard = f"__import__('os').mkdir({str(tmp_path / 'x')!r})"
        return json.dumps(json.loads(content) | {"guards_code": [guard]}).encode()

    file = repack(programs["export"], tmp_path / "model", edit)
    imported(tmp_path / "net", "export", file)(images)
    assert not (tmp_path / "x").exists()


def test_a_tensor_named_like_a_free_text_does_not_hide_its_parts():
    hidden = {"as_string": {"expr_str": "print(1)"}}
    with pytest.raises(PipelineError, match=r"the text 'print\(1\)'"):
        check_program({"tensor_values": hidden}, Path("x.pt2"))


def test_onnx_weights_outside_of_the_folder_are_refused(portraits, tmp_path):
    (tmp_path / "source").mkdir()
    file = classifiers.write_onnx(tmp_path / "source/labeler.onnx", portraits, external=True)
    graph = onnx.load(file, load_external_data=False)
    for tensor in graph.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../secret"
    (tmp_path / "secret").write_bytes(b"\0" * 10**7)
    file.write_bytes(graph.SerializeToString())
    with pytest.raises(PipelineError, match="expected a whole ONNX graph, its weights beside it"):
        imported(tmp_path / "net", "onnx", file)
    assert not (tmp_path / "net").exists()


def test_a_network_folder_with_onnx_weights_elsewhere_is_refused(portraits, programs, tmp_path):
    imported(tmp_path / "net", "onnx", programs["onnx"])
    file = classifiers.write_onnx(tmp_path / "external.onnx", portraits, external=True)
    (tmp_path / "net/model.onnx").write_bytes(file.read_bytes())
    reseal(tmp_path / "net")
    with pytest.raises(PipelineError, match="expected one file with all weights"):
        load_labeler(tmp_path / "net")


def test_onnx_operators_of_other_domains_are_refused(programs, tmp_path):
    graph = onnx.load(programs["onnx"])
    graph.graph.node[0].domain = "com.example"
    graph.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(PipelineError, match=r"of ONNX, got the domains \['com\.example'\]"):
        imported(tmp_path / "net", "onnx", tmp_path / "model.onnx")


def test_a_file_outside_of_the_network_folder_is_refused(programs, tmp_path):
    imported(tmp_path / "net", "onnx", programs["onnx"])
    config = json.loads((tmp_path / "net" / CONFIG).read_text())
    (tmp_path / "net" / CONFIG).write_text(json.dumps(config | {"files": {"../../etc/passwd": "0"}}))
    with pytest.raises(PipelineError, match=r"expected files inside of .*net, got '\.\./\.\./etc/passwd'"):
        load_labeler(tmp_path / "net")


@pytest.mark.parametrize("kind", ["torchscript", "export"])
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(kind, tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/code/bomb.py", b"#" * 2**26)
    with pytest.raises(PipelineError, match="unpacks to 67,108,864.*exhaust its reader"):
        imported(tmp_path / "net", kind, tmp_path / "bomb")
