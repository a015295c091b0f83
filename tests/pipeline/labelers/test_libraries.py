"""Models of transformers and timm: they say what the library says, and come from safetensors alone."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import PipelineError
from pipeline.importing.labelers import import_classifier, import_embedder
from pipeline.labelers import load_embedder, load_labeler
from pipeline.labelers.readout import Outputs, Readout
from pipeline.weights import CONFIG, weights_digest
from tests import classifiers

HALVES = {
    "resize": 32,
    "crop": None,
    "interpolation": "bicubic",
    "antialias": True,
    "channels": "rgb",
    "low": 0.0,
    "high": 1.0,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
MOOD = {"mood": {"kind": "categorical", "outputs": [0, 1, 2], "classes": ["calm", "glad", "sad"]}}
LABELS = {"mood": {**MOOD["mood"], "outputs": ["calm", "glad", "sad"]}}
READ = Readout({"mood": Outputs(kind="categorical", outputs=(0, 1, 2), classes=("calm", "glad", "sad"))})


def prepared(images: torch.Tensor) -> torch.Tensor:
    """What HALVES makes of images."""
    return F.interpolate(images / 2 + 0.5, (32, 32), mode="bicubic", antialias=True).clamp(0, 1) * 2 - 1


@pytest.mark.parametrize("attributes", [MOOD, LABELS], ids=["places", "labels"])
def test_a_model_of_transformers_says_what_the_library_says(attributes, images, tmp_path):
    model = classifiers.write_huggingface(tmp_path / "source")
    source = classifiers.classifier(
        "huggingface", model=str(tmp_path / "source"), image=HALVES, attributes=attributes
    )
    loaded = classifiers.imported(tmp_path / "net", source)
    with torch.no_grad():
        expected = READ(model(pixel_values=prepared(images)).logits)
        assert (loaded(images) - expected).abs().max() <= 1e-5
    assert loaded.columns == ("mood.calm", "mood.glad", "mood.sad")
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [CONFIG, "weights.safetensors"]


def test_a_model_of_timm_says_what_the_library_says(images, tmp_path):
    model = classifiers.write_timm(tmp_path / "source")
    source = classifiers.classifier("timm", model=str(tmp_path / "source"), image=HALVES, attributes=MOOD)
    loaded = classifiers.imported(tmp_path / "net", source)
    with torch.no_grad():
        assert (loaded(images) - READ(model(prepared(images)))).abs().max() <= 1e-5


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_of_weights_alone_needs_its_architecture(suffix, images, tmp_path):
    model = classifiers.write_timm(tmp_path / "source")
    file = tmp_path / "source/model.safetensors"
    if suffix == "pth":
        file = tmp_path / "model.pth"
        torch.save({"state_dict": model.state_dict()}, file)
    declared = {"model": str(file), "image": HALVES, "attributes": MOOD}
    with pytest.raises(PipelineError, match="expected architecture and num_classes, got none"):
        import_classifier([classifiers.classifier("timm", **declared)], tmp_path / "net")
    known = {"architecture": "resnet10t", "num_classes": 3}
    loaded = classifiers.imported(tmp_path / "net", classifiers.classifier("timm", **declared, **known))
    with torch.no_grad():
        assert (loaded(images) - READ(model(prepared(images)))).abs().max() <= 1e-5
    with pytest.raises(PipelineError, match=r"expected weights of timm's 'resnet18'"):
        import_classifier(
            [classifiers.classifier("timm", **declared, **known | {"architecture": "resnet18"})],
            tmp_path / "net",
        )


def test_a_pickle_that_is_more_than_tensors_is_refused(tmp_path):
    torch.save({"state_dict": Outputs(kind="binary", outputs=(0,))}, tmp_path / "model.pth")
    source = classifiers.classifier(
        "timm",
        model=str(tmp_path / "model.pth"),
        architecture="resnet10t",
        num_classes=3,
        image=HALVES,
        attributes=MOOD,
    )
    with pytest.raises(PipelineError, match=r"expected weights of timm's 'resnet10t', got .*[Ww]eights"):
        import_classifier([source], tmp_path / "net")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"architecture": "resnet10x"},
            r"expected an architecture of timm .*, got 'resnet10x': did you mean",
        ),
        ({"architecture": "hf-hub:some/where"}, r"expected an architecture of timm .*, got 'hf-hub:"),
        ({"model_args": {"checkpoint_path": "x"}}, r"that read no files, got \['checkpoint_path'\]"),
    ],
)
def test_a_configuration_that_would_load_from_elsewhere_is_refused(change, message, tmp_path):
    classifiers.write_timm(tmp_path / "source")
    path = tmp_path / "source" / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    source = classifiers.classifier("timm", model=str(tmp_path / "source"), image=HALVES, attributes=MOOD)
    with pytest.raises(PipelineError, match=message):
        import_classifier([source], tmp_path / "net")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_an_embedding_of_transformers_is_pooled_as_declared(pooling, images, tmp_path):
    model = classifiers.write_huggingface(tmp_path / "source")
    source = classifiers.embedder(
        "huggingface", model=str(tmp_path / "source"), image=HALVES, pooling=pooling
    )
    import_embedder(source, tmp_path / "net")
    with torch.no_grad():
        tokens = model.vit(pixel_values=prepared(images)).last_hidden_state
        pooled = tokens[:, 0] if pooling == "cls" else tokens.mean(1)
        assert torch.allclose(load_embedder(tmp_path / "net")(images), F.normalize(pooled, dim=1), atol=1e-5)
    import_embedder(source, tmp_path / "again")
    assert weights_digest(tmp_path / "again") == weights_digest(tmp_path / "net")


def test_an_embedding_of_timm_is_what_its_head_sees(images, tmp_path):
    model = classifiers.write_timm(tmp_path / "source")
    source = classifiers.embedder("timm", model=str(tmp_path / "source"), image=HALVES)
    import_embedder(source, tmp_path / "net")
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(prepared(images)), pre_logits=True)
        assert torch.allclose(load_embedder(tmp_path / "net")(images), F.normalize(pooled, dim=1), atol=1e-5)


def test_tensors_that_the_library_would_make_up_are_refused(tmp_path):
    classifiers.write_huggingface(tmp_path / "source")
    source = classifiers.embedder("huggingface", model=str(tmp_path / "source"), pooling="pooler")
    with pytest.raises(PipelineError, match=r"expected all tensors of ViTModel, got none for pooler\."):
        import_embedder(source, tmp_path / "net")


def test_pickled_weights_of_transformers_are_refused(tmp_path):
    model = classifiers.write_huggingface(tmp_path / "source")
    (tmp_path / "source/model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "source/pytorch_model.bin")
    source = classifiers.classifier("huggingface", model=str(tmp_path / "source"), attributes=MOOD)
    with pytest.raises(PipelineError, match="expected a model of transformers with safetensors, got"):
        import_classifier([source], tmp_path / "net")


def test_code_of_a_model_folder_is_never_run(tmp_path):
    classifiers.write_huggingface(tmp_path / "source")
    (tmp_path / "source/modeling.py").write_text(f"import os; os.mkdir({str(tmp_path / 'ran')!r})")
    path = tmp_path / "source" / CONFIG
    config = json.loads(path.read_text())
    auto = {"AutoConfig": "modeling.C", "AutoModelForImageClassification": "modeling.M"}
    path.write_text(json.dumps(config | {"auto_map": auto, "model_type": "unknown"}))
    source = classifiers.classifier("huggingface", model=str(tmp_path / "source"), attributes=MOOD)
    with pytest.raises(PipelineError, match="expected a model of transformers"):
        import_classifier([source], tmp_path / "net")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_label_is_refused_with_the_nearest(tmp_path):
    classifiers.write_huggingface(tmp_path / "source")
    attributes = {"glad": {"kind": "binary", "outputs": ["gald"]}}
    source = classifiers.classifier(
        "huggingface", model=str(tmp_path / "source"), image=HALVES, attributes=attributes
    )
    with pytest.raises(PipelineError, match=r"attribute 'glad': .* label 'gald'.*did you mean 'glad'\?"):
        import_classifier([source], tmp_path / "net")


def test_edited_tensors_are_refused_by_name(tmp_path):
    classifiers.write_timm(tmp_path / "source")
    source = classifiers.classifier("timm", model=str(tmp_path / "source"), image=HALVES, attributes=MOOD)
    import_classifier([source], tmp_path / "net")
    file = tmp_path / "net/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(PipelineError, match=r"weights\.safetensors: the file is truncated or edited"):
        load_labeler(tmp_path / "net")


def test_what_the_folder_says_otherwise_is_a_doubt(tmp_path):
    classifiers.write_timm(tmp_path / "timm")
    image = HALVES | {"mean": [0.4, 0.5, 0.5], "interpolation": "bilinear"}
    source = classifiers.classifier("timm", model=str(tmp_path / "timm"), image=image, attributes=MOOD)
    _, doubts = import_classifier([source], tmp_path / "net")
    assert any(
        "image.interpolation: declared bilinear" in doubt and "says bicubic" in doubt for doubt in doubts
    )
    assert any("black becomes): declared [-0.8, -1.0, -1.0]" in doubt for doubt in doubts)
