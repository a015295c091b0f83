"""Models that are one file: they say what the safetensors network says, and reach nothing but tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.importing.labelers import import_classifier, import_embedder
from pipeline.labelers import Labeler, load_embedder, load_labeler
from pipeline.weights import CONFIG, weights_digest
from tests import classifiers

KINDS = ("torchscript", "export", "onnx")
TOLERANCE = 1e-5


class Tiny(nn.Module):
    """Two numbers of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2]


class Several(nn.Module):
    """A pair of outputs, the second of which is meant."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.flatten(1)[:, :2] * 3


TWO = {"a": {"kind": "continuous", "outputs": [0]}, "b": {"kind": "continuous", "outputs": [1]}}


def imported(folder: Path, kind: str, file: Path, **fields: Any) -> Labeler:
    declared = {"attributes": classifiers.portraits_attributes(), "file": str(file), **fields}
    return classifiers.imported(folder, classifiers.classifier(kind, **declared))


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_says_what_the_safetensors_say(kind, programs, portraits, images, tmp_path):
    loaded = imported(tmp_path / "net", kind, programs[kind])
    with torch.inference_mode():
        ours, theirs = loaded(images), portraits(images)
    assert loaded.attributes == portraits.attributes
    assert ours.dtype == torch.float32
    assert (ours - theirs).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_reads_like_its_images(kind, programs, images, tmp_path):
    loaded = imported(tmp_path / "net", kind, programs[kind])
    with torch.no_grad():
        alone = torch.cat([loaded(img[None]) for img in images[:3]])
        assert torch.allclose(alone, loaded(images[:3]), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_frozen_deterministic_and_in_float32_under_autocast(kind, programs, images, tmp_path):
    loaded = imported(tmp_path / "net", kind, programs[kind])
    assert not any(p.requires_grad for p in loaded.parameters())
    with torch.no_grad():
        first = loaded(images)
        assert all(torch.equal(loaded(images), first) for _ in range(3))
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loaded(images), first)


@pytest.mark.parametrize("kind", ["torchscript", "export"])
def test_gradients_flow_to_the_image(kind, programs, images, tmp_path):
    img = images[:2].clone().requires_grad_()
    imported(tmp_path / "net", kind, programs[kind])(img).sum().backward()
    assert img.grad is not None and img.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_several_outputs_is_picked(kind, tmp_path):
    file = classifiers.WRITERS[kind](tmp_path / "several.pt2", Several(), 8)
    image = classifiers.AS_IT_IS | {"resize": 8}
    loaded = imported(tmp_path / "net", kind, file, image=image, attributes=TWO, output=1)
    img = torch.rand(3, 3, 8, 8) * 2 - 1
    assert torch.allclose(loaded(img), img.flatten(1)[:, :2] * 3, atol=1e-6)
    with pytest.raises(PipelineError, match=r"no output 5 among 2.*correct.* output of the source"):
        imported(tmp_path / "net", kind, file, image=image, attributes=TWO, output=5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_is_the_output_at_unit_length(kind, programs, portraits, images, tmp_path):
    source = classifiers.embedder(kind, file=str(programs[kind]))
    import_embedder(source, tmp_path / "net")
    with torch.no_grad():
        expected = nn.functional.normalize(portraits(images), dim=1)
        assert torch.allclose(load_embedder(tmp_path / "net")(images), expected, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_that_the_network_lacks_is_refused_by_attribute(kind, programs, tmp_path):
    attributes = {"age": {"kind": "continuous", "outputs": [29]}}
    with pytest.raises(PipelineError, match=r"attribute 'age': expected an output below 29, got 29"):
        imported(tmp_path / "net", kind, programs[kind], attributes=attributes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_that_the_network_cannot_take_is_refused(kind, programs, tmp_path):
    image = classifiers.AS_IT_IS | {"resize": 32}
    with pytest.raises(PipelineError, match=r"outputs for 2 images of 32 pixels.*correct image\.resize"):
        imported(tmp_path / "net", kind, programs[kind], image=image)


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_import_leaves_the_folder_that_is_there(kind, programs, images, tmp_path):
    kept = imported(tmp_path / "net", kind, programs[kind])
    digest = weights_digest(tmp_path / "net")
    with pytest.raises(PipelineError):
        imported(tmp_path / "net", kind, tmp_path / "nowhere")
    assert weights_digest(tmp_path / "net") == digest
    assert torch.equal(load_labeler(tmp_path / "net")(images), kept(images))
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


@pytest.mark.parametrize("kind", KINDS)
def test_digest_covers_every_file_and_two_imports_agree(kind, programs, tmp_path):
    for name in ("one", "two"):
        imported(tmp_path / name, kind, programs[kind])
    assert weights_digest(tmp_path / "one") == weights_digest(tmp_path / "two")
    (file,) = (path for path in (tmp_path / "one").iterdir() if path.name != CONFIG)
    file.write_bytes(file.read_bytes() + b"\0")
    assert weights_digest(tmp_path / "one") != weights_digest(tmp_path / "two")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edit", [lambda b: b[:-20], lambda b: b[:100] + bytes([b[100] ^ 1]) + b[101:]])
def test_a_truncated_or_edited_file_is_refused_by_name(kind, edit, programs, tmp_path):
    imported(tmp_path / "net", kind, programs[kind])
    (file,) = (path for path in (tmp_path / "net").iterdir() if path.name != CONFIG)
    file.write_bytes(edit(file.read_bytes()))
    with pytest.raises(PipelineError, match=rf"expected the SHA-256 .*{file.name}: .*truncated or edited"):
        load_labeler(tmp_path / "net")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content", [b"", b"no model at all", None])
def test_a_file_of_another_kind_is_refused(kind, content, programs, tmp_path):
    path = tmp_path / "model"
    other = programs["torchscript" if kind == "onnx" else "onnx"]
    path.write_bytes(other.read_bytes() if content is None else content)
    with pytest.raises(PipelineError, match=r"^expected .*, got .*: \w+"):
        imported(tmp_path / "net", kind, path)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm2d(3)], ids=["dropout", "batch statistics"])
@pytest.mark.parametrize("kind", ["torchscript", "export"])
def test_a_model_in_training_mode_is_refused(kind, layer, tmp_path):
    file = classifiers.WRITERS[kind](tmp_path / "model.pt2", nn.Sequential(layer, nn.Flatten()).train(), 8)
    with pytest.raises(PipelineError, match="the model was saved in training mode"):
        imported(tmp_path / "net", kind, file, image=classifiers.AS_IT_IS | {"resize": 8}, attributes=TWO)


def test_a_fixed_batch_is_refused(tmp_path):
    class One(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, -1)

    file = classifiers.write_torchscript(tmp_path / "model", One(), 8)
    image = classifiers.AS_IT_IS | {"resize": 8}
    with pytest.raises(PipelineError, match=r"expected outputs \[2, O\] of 2 images, got \[1, 384\]"):
        imported(tmp_path / "net", "torchscript", file, image=image, attributes=TWO)


def test_onnx_weights_beside_the_graph_are_taken_in(portraits, images, tmp_path):
    (tmp_path / "source").mkdir()
    file = classifiers.write_onnx(tmp_path / "source/labeler.onnx", portraits, external=True)
    assert len(list(file.parent.iterdir())) == 2
    loaded = imported(tmp_path / "net", "onnx", file)
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [CONFIG, "model.onnx"]
    assert (loaded(images) - portraits(images)).abs().max() <= TOLERANCE


def test_onnxruntime_is_what_runs_onnx(programs, images, tmp_path):
    loaded = imported(tmp_path / "net", "onnx", programs["onnx"])
    session = onnxruntime.InferenceSession(programs["onnx"].read_bytes(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"img": images.numpy()})
    assert torch.allclose(loaded(images), torch.from_numpy(expected), atol=TOLERANCE)


def test_there_are_no_doubts_where_there_is_nothing_to_compare(programs, tmp_path):
    attributes = classifiers.portraits_attributes()
    source = classifiers.classifier("onnx", file=str(programs["onnx"]), attributes=attributes)
    assert import_classifier([source], tmp_path / "net")[1] == []
