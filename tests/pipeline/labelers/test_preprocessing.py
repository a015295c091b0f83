"""What a network sees is what was declared: against PIL and torchvision, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.labelers.optional import import_optional
from pipeline.labelers.preprocessing import ImageInput, Preprocessing
from pipeline.sections import SectionError, build_section
from tests.classifiers import AS_IT_IS

SMOOTH = torch.nn.functional.interpolate(
    torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (48, 48), mode="bicubic"
).clamp(0, 1)
BYTES = (SMOOTH * 255).round()
IMAGES = BYTES / 127.5 - 1


def seen(**changes: object) -> torch.Tensor:
    return Preprocessing(build_section(ImageInput, AS_IT_IS | {"resize": 48} | changes))(IMAGES)


def test_images_arrive_as_they_are_when_nothing_is_to_be_done():
    assert torch.allclose(seen(), IMAGES, atol=1e-6)


def test_what_no_picture_can_show_is_clamped():
    spec = build_section(ImageInput, AS_IT_IS | {"resize": 1})
    assert Preprocessing(spec)(torch.full((1, 3, 1, 1), 7.0)).unique().item() == 1.0


@pytest.mark.parametrize(
    ("interpolation", "resample"),
    [
        ("nearest", Image.Resampling.NEAREST),
        ("bilinear", Image.Resampling.BILINEAR),
        ("bicubic", Image.Resampling.BICUBIC),
        ("area", Image.Resampling.BOX),
    ],
)
def test_resizing_is_what_pil_does(interpolation, resample):
    antialias = interpolation in ("bilinear", "bicubic")
    ours = seen(resize=24, interpolation=interpolation, antialias=antialias, low=0, high=255)
    for img, tensor in zip(ours, BYTES, strict=True):
        picture = Image.fromarray(tensor.permute(1, 2, 0).byte().numpy()).resize((24, 24), resample)
        theirs = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        assert (img - theirs).abs().max() <= 1.5  # PIL rounds to bytes after each direction


@pytest.mark.parametrize("crop", [24, 31, 33])
def test_the_crop_is_torchvisions(crop):
    import_optional("timm", "timm")  # lets torchvision in
    from torchvision.transforms.functional import center_crop

    assert torch.equal(seen(crop=crop), center_crop(seen(), [crop, crop]))


def test_channels_range_and_normalisation_follow_in_this_order():
    ours = seen(channels="bgr", low=0, high=255, mean=[1, 2, 3], std=[10, 20, 30])
    expected = (BYTES.flip(1) - torch.tensor([1.0, 2, 3])[:, None, None]) / torch.tensor([10.0, 20, 30])[
        :, None, None
    ]
    assert torch.allclose(ours, expected, atol=1e-4)


def test_gradients_flow_and_the_result_is_float32():
    img = IMAGES.double().clone().requires_grad_()
    spec = build_section(ImageInput, AS_IT_IS | {"resize": 24, "interpolation": "bicubic", "antialias": True})
    out = Preprocessing(spec)(img * 0.9)
    out.sum().backward()
    assert out.dtype == torch.float32
    assert img.grad is not None and (img.grad != 0).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": 0}, "resize: expected a number at least 1, got 0"),
        ({"crop": 65}, "crop: expected a number at least 1 and at most 64, got 65"),
        ({"interpolation": "lanczos"}, "interpolation: expected 'nearest' or 'bilinear'"),
        ({"antialias": True}, "antialias: expected false for 'area', got true"),
        ({"low": 1}, "high: expected a number above low"),
        ({"mean": [0.5]}, r"mean: expected 3 numbers, got \[0.5\]"),
        ({"std": [1, 1, 0]}, "std: expected numbers above 0"),
        ({"channels": "rgba"}, "channels: expected 'rgb' or 'bgr', got 'rgba'"),
        ({"size": 3}, "size: unknown key"),
    ],
)
def test_a_wrong_declaration_names_the_key(change, message):
    with pytest.raises(SectionError, match=message):
        build_section(ImageInput, AS_IT_IS | change)


@pytest.mark.parametrize("key", [key for key in AS_IT_IS if key != "crop"])
def test_nothing_but_the_crop_may_be_left_out(key):
    values = {name: value for name, value in AS_IT_IS.items() if name != key}
    with pytest.raises(SectionError, match=f"{key}: expected .*, got nothing"):
        build_section(ImageInput, values)
