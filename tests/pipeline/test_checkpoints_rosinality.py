"""rosinality's state dicts, against the generator that they are of, in plain float64."""

from __future__ import annotations

import io
import json
import math
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.checkpoints import read_checkpoint
from pipeline.errors import PipelineError
from tests.checkpoints import loaded, written
from tests.state_dicts import rosinality_state, save, training_content


def reference_images(state: dict[str, Tensor], w: Tensor) -> Tensor:
    """The generator in plain float64: weights scaled, modulated and demodulated for every image."""
    s = {name: tensor.double() for name, tensor in state.items()}
    blocks = sum(name.endswith("upsample.kernel") for name in s)
    images = []
    for style in w:
        x = convolution(s, "conv1", "noises.noise_0", s["input.input"], style, up=False)
        img = to_rgb(s, "to_rgb1", x, style)
        for i in range(blocks):
            x = convolution(s, f"convs.{2 * i}", f"noises.noise_{2 * i + 1}", x, style, up=True)
            x = convolution(s, f"convs.{2 * i + 1}", f"noises.noise_{2 * i + 2}", x, style, up=False)
            kernel = s[f"to_rgbs.{i}.upsample.kernel"]
            img = filtered(zeros_between(img), kernel, 2, 1) + to_rgb(s, f"to_rgbs.{i}", x, style)
        images.append(img)
    return torch.cat(images)


def modulated_weight(s: dict[str, Tensor], name: str, style: Tensor) -> Tensor:
    stored, modulation = s[f"{name}.conv.weight"][0], s[f"{name}.conv.modulation.weight"]
    scales = modulation @ style / math.sqrt(len(style)) + s[f"{name}.conv.modulation.bias"]
    return stored / math.sqrt(stored[0].numel()) * scales[:, None, None]


def convolution(s: dict[str, Tensor], name: str, noise: str, x: Tensor, style: Tensor, up: bool) -> Tensor:
    weight = modulated_weight(s, name, style)
    weight = weight / torch.sqrt(weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
    if up:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = filtered(x, s[f"{name}.conv.blur.kernel"], 1, 1)
    else:
        x = F.conv2d(x, weight, padding=1)
    x = x + s[f"{name}.noise.weight"] * s[noise] + s[f"{name}.activate.bias"][:, None, None]
    return torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)


def to_rgb(s: dict[str, Tensor], name: str, x: Tensor, style: Tensor) -> Tensor:
    return F.conv2d(x, modulated_weight(s, name, style)) + s[f"{name}.bias"]


def zeros_between(x: Tensor) -> Tensor:
    spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    spread[:, :, ::2, ::2] = x
    return spread


def filtered(x: Tensor, kernel: Tensor, before: int, after: int) -> Tensor:
    padded = F.pad(x, (before, after, before, after)).transpose(0, 1)
    return F.conv2d(padded, kernel.flip(0, 1)[None, None]).transpose(0, 1)


def exactly_scalable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kernels that float32 holds after the division by the root of the fan-in, too, here 3, 6 or 12."""
    return OrderedDict(
        (name, (t * 64).round() * 3 / 64 if t.dim() == 5 and t.shape[-1] == 3 else t)
        for name, t in state.items()
    )


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
@pytest.mark.parametrize("channels", [(4, 4, 1), (16, 4), (1,)])
def test_a_converted_generator_is_the_same_function(
    tmp_path: Path, channels: tuple[int, ...], legacy: bool
) -> None:
    state = exactly_scalable(rosinality_state(channels, style_dim=8, layers=2))
    generator = loaded(read_checkpoint(written(tmp_path, save({"g_ema": state}, legacy)))).double()
    z = torch.randn(3, 8, dtype=torch.float64)
    w = z / z.square().mean(dim=1, keepdim=True).add(1e-8).sqrt()
    for i in (1, 2):
        weight, bias = state[f"style.{i}.weight"].double(), state[f"style.{i}.bias"].double()
        w = F.leaky_relu(w @ weight.t() * 0.01 / math.sqrt(8) + bias * 0.01, 0.2) * math.sqrt(2)
    torch.testing.assert_close(generator.mapping(z), w, rtol=0, atol=1e-12)
    torch.testing.assert_close(generator.synthesize(w), reference_images(state, w), rtol=0, atol=1e-9)


def test_scaling_rounds_once(tmp_path: Path) -> None:
    state = rosinality_state((5, 3), style_dim=6, layers=1)
    generator = loaded(read_checkpoint(written(tmp_path, save({"g_ema": state})))).double()
    w = torch.randn(2, 6, dtype=torch.float64)
    torch.testing.assert_close(generator.synthesize(w), reference_images(state, w), rtol=0, atol=1e-5)


def test_tensors_are_those_that_torch_loads(tmp_path: Path) -> None:
    for legacy in (False, True):
        content = save({"g_ema": rosinality_state((4, 3), style_dim=8, layers=2)}, legacy)
        theirs = torch.load(io.BytesIO(content), weights_only=True)["g_ema"]
        ours = read_checkpoint(written(tmp_path, content)).tensors
        assert torch.equal(ours["mapping.fc1.weight"], theirs["style.2.weight"])
        assert torch.equal(ours["synthesis.b4.const"], theirs["input.input"][0])
        assert torch.equal(ours["synthesis.b8.conv1.noise_const"], theirs["noises.noise_2"][0, 0])
        assert torch.equal(ours["synthesis.b8.torgb.weight"], theirs["to_rgbs.0.conv.weight"][0])


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "stream"])
def test_training_checkpoints_hold_more_which_does_not_matter(tmp_path: Path, legacy: bool) -> None:
    state = rosinality_state((4, 3), style_dim=8, layers=2)
    path = written(tmp_path, save(training_content(state), legacy))
    plain = read_checkpoint(written(tmp_path, save({"g_ema": state}), "plain.pt"))
    ema, trained = read_checkpoint(path), read_checkpoint(path, "G")
    assert all(torch.equal(ema.tensors[name], tensor) for name, tensor in plain.tensors.items())
    assert torch.equal(trained.tensors["mapping.fc0.bias"], state["style.1.bias"] + 1)
    assert ema.config == trained.config == plain.config


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
def test_the_mean_style_is_latent_avg(tmp_path: Path, shape: tuple[int, ...]) -> None:
    content = {"g_ema": rosinality_state((4, 3), 8, 2), "latent_avg": torch.arange(8.0).reshape(shape)}
    checkpoint = read_checkpoint(written(tmp_path, save(content)))
    assert torch.equal(checkpoint.tensors["mapping.w_avg"], torch.arange(8.0))
    assert checkpoint.source["w_avg"] == "latent_avg"


def test_without_latent_avg_the_mean_style_is_computed_and_the_source_says_so(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(written(tmp_path, save({"g_ema": rosinality_state((4, 3), 8, 2)})))
    z = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(checkpoint.tensors["mapping.w_avg"], loaded(checkpoint).mapping(z).mean(dim=0))
    assert "mean of 10000 styles" in checkpoint.source["w_avg"]
    assert checkpoint.source == json.loads(json.dumps(checkpoint.source))


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("convs.0.conv.blur.kernel", torch.ones(4, 4), r"convs\.0\.conv\.blur\.kernel"),
        ("to_rgbs.0.upsample.kernel", torch.ones(4, 4) / 4, r"to_rgbs\.0\.upsample\.kernel"),
        ("to_rgbs.0.bias", None, r"tensor to_rgbs\.0\.bias, got none"),
        ("convs.0.conv.gain", torch.ones(1), r"'convs\.0\.conv\.gain', too"),
        (
            "convs.0.conv.weight",
            torch.ones(1, 3, 4, 1, 1),
            r"synthesis\.b8\.conv0\.weight of shape \(3, 4, 3, 3\)",
        ),
        ("style.1.weight", torch.ones(8, 6), r"fc0\.weight of shape \(8, 8\), got \(8, 6\)"),
    ],
)
def test_another_state_dict_is_refused(
    tmp_path: Path, name: str, tensor: Tensor | None, message: str
) -> None:
    state = rosinality_state((4, 3), style_dim=8, layers=1)
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    with pytest.raises(PipelineError, match=message):
        read_checkpoint(written(tmp_path, save({"g_ema": state})))


def test_a_missing_state_dict_is_refused_with_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path, save({"g": rosinality_state((4, 3), 8, 1)}))
    with pytest.raises(PipelineError, match="'G_ema' .*known: G|did you mean 'G'"):
        read_checkpoint(path)
