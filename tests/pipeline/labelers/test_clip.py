"""CLIP: attributes in words say what the library's own text and image features say."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import PipelineError
from pipeline.importing.labelers import import_classifier, import_embedder
from pipeline.labelers import load_embedder, load_labeler
from pipeline.labelers.optional import import_optional
from pipeline.labelers.readout import Outputs, Readout
from pipeline.weights import CONFIG, load_weights
from tests import classifiers

transformers = import_optional("transformers", "huggingface")

IMAGE = classifiers.AS_IT_IS | {"resize": 32}
PETS = ("a cat", "a dog", "a fox")
WORDS = {
    "smile": {"kind": "binary", "prompts": ["a sad face", "a smile"], "alias": "grin"},
    "pet": {"kind": "categorical", "classes": ["cat", "dog", "fox"], "prompts": list(PETS)},
    "age": {"kind": "continuous", "prompts": [["a child", "young"], ["old", "an elder", "grey"]]},
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "source"
    return classifiers.write_clip(folder), folder


def source(folder, **fields):
    return classifiers.classifier(
        "clip", **{"model": str(folder), "image": IMAGE, "attributes": WORDS, **fields}
    )


def similarity(model, folder, images, *texts):
    """logit_scale · cos of images and texts, ``[N, len(texts)]``, as the library computes it."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    small = F.interpolate(images, (32, 32), mode="area")
    with torch.no_grad():
        return model(**tokens, pixel_values=small).logits_per_image


def test_scores_are_what_the_library_says(clip, images, tmp_path):
    model, folder = clip
    loaded = classifiers.imported(tmp_path / "net", source(folder))
    assert loaded.columns == ("smile", "pet.cat", "pet.dog", "pet.fox", "age")
    assert loaded.attributes[0].alias == "grin"
    with torch.no_grad():
        scores = loaded(images)
    pair = similarity(model, folder, images, "a sad face", "a smile")
    assert torch.allclose(scores[:, 0], pair[:, 1] - pair[:, 0], atol=1e-4)
    pets = similarity(model, folder, images, *PETS)
    log_odds = Readout({"pet": Outputs(kind="categorical", outputs=(0, 1, 2), classes=("c", "d", "f"))})(pets)
    assert torch.allclose(scores[:, 1:4], log_odds, atol=1e-4)


def test_several_texts_stand_for_their_mean_direction(clip, images, tmp_path):
    model, folder = clip
    loaded = classifiers.imported(tmp_path / "net", source(folder))
    scale = model.logit_scale.exp().item()
    ends = []
    for texts in WORDS["age"]["prompts"]:
        # cosines with unit texts, averaged, then divided by the length of the mean text
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        with torch.no_grad():
            units = [
                F.normalize(
                    model.text_projection(
                        model.text_model(**tokenizer(text, return_tensors="pt")).pooler_output
                    )
                )
                for text in texts
            ]
        length = torch.cat(units).mean(0).norm()
        ends.append(similarity(model, folder, images, *texts).mean(1) / length)
    with torch.no_grad():
        assert torch.allclose(loaded(images)[:, 4], ends[1] - ends[0], atol=1e-4 * scale)


def test_the_text_side_is_left_behind(clip, tmp_path):
    import_classifier([source(clip[1])], tmp_path / "net")
    tensors = load_weights(tmp_path / "net").tensors
    assert tensors["texts"].shape == (5, 8)
    assert not [name for name in tensors if "text_model" in name]
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == [CONFIG, "weights.safetensors"]


def test_the_network_needs_no_tokenizer_later(clip, images, tmp_path, monkeypatch):
    loaded = classifiers.imported(tmp_path / "net", source(clip[1]))
    monkeypatch.delattr(transformers, "AutoTokenizer")
    assert torch.equal(load_labeler(tmp_path / "net")(images), loaded(images))


def test_identity_is_the_image_side(clip, images, tmp_path):
    model, folder = clip
    import_embedder(classifiers.embedder("clip", model=str(folder), image=IMAGE), tmp_path / "net")
    small = F.interpolate(images, (32, 32), mode="area")
    with torch.no_grad():
        vision = model.vision_model(pixel_values=small).pooler_output
        expected = F.normalize(model.visual_projection(vision), dim=1)
        assert torch.allclose(load_embedder(tmp_path / "net")(images), expected, atol=1e-6)


def test_a_text_that_is_too_long_is_refused(clip, tmp_path):
    words = {"smile": {"kind": "binary", "prompts": ["no", "a very long tale " * 5]}}
    with pytest.raises(PipelineError, match="expected texts of at most 40 tokens, got .*a very long tale"):
        import_classifier([source(clip[1], attributes=words)], tmp_path / "net")


def test_what_the_folder_says_otherwise_is_a_doubt(tmp_path):
    classifiers.write_clip(tmp_path / "source")
    says = {
        "do_resize": True,
        "size": {"shortest_edge": 36},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (tmp_path / "source/preprocessor_config.json").write_text(json.dumps(says))
    _, doubts = import_classifier([source(tmp_path / "source")], tmp_path / "net")
    for expected in (
        "image.resize: declared 32, but preprocessor_config.json says 36",
        "image.interpolation: declared area, but preprocessor_config.json says bicubic",
        "(black becomes): declared [-1.0, -1.0, -1.0], but preprocessor_config.json says [-2.0, -2.0, -2.0]",
    ):
        assert any(expected in doubt for doubt in doubts), doubts
    assert not any("crop" in doubt for doubt in doubts)


def test_a_model_that_is_no_clip_is_refused(tmp_path):
    classifiers.write_huggingface(tmp_path / "source")
    with pytest.raises(PipelineError, match="expected (all tensors|a model)"):
        import_classifier([source(tmp_path / "source")], tmp_path / "net")
