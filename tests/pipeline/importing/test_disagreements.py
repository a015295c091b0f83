"""What a model folder says about its images, in the spellings that there are, against what is declared."""

from __future__ import annotations

import json

import pytest

from pipeline.importing.disagreements import disagreements, huggingface_says, timm_says
from pipeline.labelers.preprocessing import ImageInput
from pipeline.sections import build_section

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
DECLARED = {
    "resize": 256,
    "crop": 224,
    "interpolation": "bicubic",
    "antialias": True,
    "channels": "rgb",
    "low": 0.0,
    "high": 1.0,
    **IMAGENET,
}
SAYS = {
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": 224,
    "resample": 3,
    "image_mean": IMAGENET["mean"],
    "image_std": IMAGENET["std"],
}


def found(tmp_path, says, **changes):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(says))
    image = build_section(ImageInput, DECLARED | changes)
    return disagreements(image, huggingface_says(tmp_path), "it")


@pytest.mark.parametrize(
    "says",
    [
        SAYS,
        SAYS | {"size": 256, "crop_size": {"height": 224, "width": 224}},
        SAYS | {"size": {"height": 256, "width": 256}, "do_rescale": True, "rescale_factor": 1 / 255},
        {},
    ],
)
def test_what_agrees_in_any_spelling_is_no_disagreement(tmp_path, says):
    assert found(tmp_path, says) == []


def test_the_same_normalisation_in_bytes_agrees(tmp_path):
    mean, std = ([255 * value for value in IMAGENET[key]] for key in ("mean", "std"))
    assert found(tmp_path, SAYS, high=255.0, mean=mean, std=std) == []


def test_without_normalisation_white_is_one(tmp_path):
    says = SAYS | {"do_normalize": False}
    assert found(tmp_path, says, mean=[0, 0, 0], std=[1, 1, 1]) == []
    assert len(found(tmp_path, says)) == 2


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"resize": 224}, "image.resize: declared 224, but it says 256"),
        ({"crop": None}, "image.crop (the side that the network sees): declared 256, but it says 224"),
        ({"interpolation": "bilinear"}, "image.interpolation: declared bilinear, but it says bicubic"),
        (
            {"high": 255.0},
            "image.high, mean and std (white becomes): declared [1111.419, 1136.357, 1131.529], "
            "but it says [2.249, 2.429, 2.64]",
        ),
    ],
)
def test_each_disagreement_names_both_values(tmp_path, changes, sentence):
    assert found(tmp_path, SAYS, **changes) == [sentence]


def test_flipped_channels_are_seen(tmp_path):
    says = SAYS | {"do_flip_channel_order": True}
    assert found(tmp_path, says) == ["image.channels: declared rgb, but it says bgr"]


def test_timm_gives_the_side_after_the_crop():
    says = {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bicubic", **IMAGENET}
    image = build_section(ImageInput, DECLARED)
    assert disagreements(image, timm_says({"pretrained_cfg": says}), "it") == []
    assert disagreements(image, timm_says({}), "it") == []
    cropped = timm_says({"pretrained_cfg": says | {"crop_pct": 1.0}})
    assert disagreements(image, cropped, "it") == ["image.resize: declared 256, but it says 224"]
