"""NVIDIA's pickles: what comes out is the network that went in, whatever way it was written."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.checkpoints import read_checkpoint
from pipeline.errors import PipelineError
from tests.checkpoints import assert_same, nvidia_file, written
from tests.foreign import SOURCE, nvidia_generator, stylegan3_generator
from tests.generators import frozen

KINDS: dict[str, dict[str, Any]] = {
    "skip": {},
    "conditional": {"c_dim": 3},
    "resnet": {"block_architecture": "resnet"},
    "orig": {"block_architecture": "orig"},
    "clamped": {"conv_clamp": 256.0, "mapping_lr_multiplier": 0.001},
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, kind: str, protocol: int) -> None:
    generator = frozen(**KINDS[kind])
    path = nvidia_file(tmp_path, protocol, G_ema=nvidia_generator(generator))
    assert_same(read_checkpoint(path), generator)


@pytest.mark.parametrize("layout", ["ada", "stylegan3"])
@pytest.mark.parametrize("arguments", [True, False], ids=["own", "handed"])
@pytest.mark.parametrize("settings", [True, False], ids=["layers-tell", "arguments-tell"])
def test_settings_are_found_in_layers_or_arguments(
    tmp_path: Path, layout: str, arguments: bool, settings: bool
) -> None:
    generator = frozen(conv_clamp=256.0, block_architecture="resnet", mapping_lr_multiplier=0.02, c_dim=2)
    stored = nvidia_generator(generator, layout, arguments=arguments, settings=settings)
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), generator)


def test_layers_are_believed_before_arguments(tmp_path: Path) -> None:
    generator = frozen(conv_clamp=256.0)  # the default of stylegan3's blocks, which no argument mentions
    stored = nvidia_generator(generator, synthesis_kwargs={"conv_clamp": None})
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), generator)


def test_arguments_may_be_given_by_position(tmp_path: Path) -> None:
    generator = frozen()
    stored = nvidia_generator(generator)
    for part, order in (
        ("mapping", ("z_dim", "c_dim", "w_dim", "num_ws")),
        ("synthesis", ("w_dim", "img_resolution")),
    ):
        state = stored.state["_modules"][part].state
        state["_init_args"] = tuple(state["_init_kwargs"].pop(name) for name in order)
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), generator)


def channels_last(t: Tensor) -> Tensor:
    return t.to(memory_format=torch.channels_last)


def inside_of_more(t: Tensor) -> Tensor:
    """The same numbers as a part of a larger storage."""
    return torch.cat([torch.ones_like(t), t, torch.ones_like(t)])[len(t) : 2 * len(t)]


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("store", [channels_last, inside_of_more, Tensor.double])
def test_how_weights_are_stored_does_not_matter(
    tmp_path: Path, store: Callable[[Tensor], Tensor], protocol: int
) -> None:
    generator = frozen(block_architecture="resnet")
    path = nvidia_file(tmp_path, protocol, G_ema=nvidia_generator(generator, change=store))
    assert_same(read_checkpoint(path), frozen(block_architecture="resnet"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = nvidia_generator(frozen(), change=lambda t: channels_last(t.to(dtype)))
    tensors = read_checkpoint(nvidia_file(tmp_path, G_ema=stored)).tensors
    for res in (8, 16):
        weight = frozen().state_dict()[f"synthesis.b{res}.conv0.weight"]
        assert torch.equal(tensors[f"synthesis.b{res}.conv0.weight"], weight.to(dtype).float())


def test_frozen_layers_keep_their_weights_as_buffers(tmp_path: Path) -> None:
    stored = nvidia_generator(frozen())
    state = stored.state["_modules"]["mapping"].state["_modules"]["fc0"].state
    state["_parameters"], state["_buffers"] = OrderedDict(bias=None), state["_parameters"]
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), frozen())


def test_buffers_that_do_not_persist_are_not_tensors_of_the_network(tmp_path: Path) -> None:
    stored = nvidia_generator(frozen())
    state = stored.state["_modules"]["synthesis"].state
    state["_buffers"]["grid"], state["_non_persistent_buffers_set"] = torch.ones(2), {"grid"}
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), frozen())


def test_the_name_chooses_the_network(tmp_path: Path) -> None:
    path = nvidia_file(tmp_path, G=nvidia_generator(frozen(seed=1)), G_ema=nvidia_generator(frozen(seed=2)))
    assert_same(read_checkpoint(path), frozen(seed=2))
    assert_same(read_checkpoint(path, "G"), frozen(seed=1))


def test_the_source_tells_where_the_network_comes_from(tmp_path: Path) -> None:
    source = read_checkpoint(nvidia_file(tmp_path, G_ema=nvidia_generator(frozen()))).source
    assert source == json.loads(json.dumps(source))
    assert source["module_sha256"] == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert {
        name: source[name] for name in ("format", "network", "class_name", "tensors", "num_fp16_res")
    } == {
        "format": "nvidia-pickle",
        "network": "G_ema",
        "class_name": "Generator",
        "tensors": len(frozen().state_dict()),
        "num_fp16_res": 4,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("G-ema", "did you mean 'G_ema'"),
        ("zebra", "known: D, G_ema"),
        ("D", "expected a StyleGAN2 generator, .* 'Discriminator'"),
    ],
)
def test_another_network_is_refused_with_what_is_there(tmp_path: Path, name: str, message: str) -> None:
    path = nvidia_file(tmp_path, G_ema=nvidia_generator(frozen()))
    with pytest.raises(PipelineError, match=message):
        read_checkpoint(path, name)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_stylegan3_is_recognised(tmp_path: Path, protocol: int) -> None:
    path = nvidia_file(tmp_path, protocol, G_ema=stylegan3_generator())
    with pytest.raises(PipelineError, match=f"{path}.* got one of StyleGAN3"):
        read_checkpoint(path)


def test_a_tensorflow_network_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="got 'dnnlib.tflib.network.Network': it is of TensorFlow"):
        read_checkpoint(written(tmp_path, b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81."))


@pytest.mark.parametrize(
    ("part", "argument", "value", "message"),
    [
        ("synthesis", "img_channels", 1, "img_channels of the synthesis network to be 3, got 1"),
        ("synthesis", "resample_filter", [1, 2, 1], r"resample_filter .* got \[1, 2, 1\]"),
        ("synthesis", "activation", "relu", "activation of the synthesis network to be lrelu, got 'relu'"),
        ("synthesis", "use_noise", False, "use_noise .* got False"),
        ("synthesis", "architecture", "dense", "architecture .* skip or resnet or orig, got 'dense'"),
        ("synthesis", "conv_clamp", -1, "conv_clamp to be a positive number"),
        ("synthesis", "magnitude_ema_beta", 0.5, "'magnitude_ema_beta'.* changed architecture"),
        ("synthesis", "img_resolution", 32, "img_resolution .* to be 16, got 32"),
        ("mapping", "activation", "linear", "activation of the mapping network to be lrelu, got 'linear'"),
        ("mapping", "embed_features", 4, "embed_features .* None or 8, got 4"),
        ("mapping", "layer_features", 4, "layer_features .* None or 8, got 4"),
        ("mapping", "z_dim", 7, "z_dim .* to be 6, got 7"),
        ("mapping", "num_layers", 3, "num_layers .* to be 2, got 3"),
        ("mapping", "lr_multiplier", "fast", "lr_multiplier to be a number, got .fast."),
        ("mapping", "lr_multiplier", 0, "lr_multiplier to be a positive number"),
    ],
)
def test_what_stylegan2_cannot_compute_is_refused(
    tmp_path: Path, part: str, argument: str, value: object, message: str
) -> None:
    stored = nvidia_generator(frozen(), settings=False)
    stored.state["_modules"][part].state["_init_kwargs"][argument] = value
    with pytest.raises(PipelineError, match=message):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))


@pytest.mark.parametrize(
    ("path", "setting", "value", "message"),
    [
        ("mapping.fc0", "activation", "relu", "one activation for all layers"),
        ("mapping.fc0", "bias_gain", 1.0, "one bias_gain for all layers"),
        ("synthesis.b8.conv0", "use_noise", False, "one use_noise for all layers"),
        ("synthesis.b8.torgb", "conv_clamp", 256, "one conv_clamp for all layers"),
        ("synthesis.b8", "architecture", "resnet", "one architecture for all layers"),
    ],
)
def test_layers_that_differ_are_refused(
    tmp_path: Path, path: str, setting: str, value: object, message: str
) -> None:
    stored = module = nvidia_generator(frozen())
    for name in path.split("."):
        module = module.state["_modules"][name]
    module.state[setting] = value
    with pytest.raises(PipelineError, match=message):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))


def test_another_filter_is_refused(tmp_path: Path) -> None:
    generator = frozen()
    generator.state_dict()["synthesis.b8.conv0.resample_filter"].fill_(1 / 16)
    with pytest.raises(PipelineError, match=r"filter \[1, 3, 3, 1\] as synthesis\.b8\.conv0"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=nvidia_generator(generator)))


def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    stored = nvidia_generator(frozen())
    del (
        stored.state["_modules"]["synthesis"]
        .state["_modules"]["b8"]
        .state["_modules"]["torgb"]
        .state["_parameters"]["bias"]
    )
    with pytest.raises(PipelineError, match=r"synthesis\.b8\.torgb\.bias of shape \(3,\), got absent"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))
    stored = nvidia_generator(frozen())
    stored.state["_modules"]["mapping"].state["_buffers"]["gain"] = torch.ones(2)
    with pytest.raises(PipelineError, match=r"mapping\.gain of shape absent, got \(2,\)"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))
