"""Foreign checkpoints: what comes out is the network that went in, whatever way it was written."""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.checkpoints import Checkpoint, read_checkpoint
from pipeline.checkpoints.pickles import read_pickle
from pipeline.checkpoints.values import Budget, Global
from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2, load_generator
from pipeline.weights import save_weights
from tests.foreign import (
    SOURCE,
    dump,
    nvidia_content,
    nvidia_generator,
    rosinality_state,
    save,
    stylegan3_generator,
    training_content,
)

KINDS: dict[str, dict[str, Any]] = {
    "skip": {},
    "conditional": {"c_dim": 3},
    "resnet": {"block_architecture": "resnet"},
    "orig": {"block_architecture": "orig"},
    "clamped": {"conv_clamp": 256.0, "mapping_lr_multiplier": 0.001},
}


def tiny(seed: int = 3, **changes: Any) -> StyleGAN2:
    torch.manual_seed(seed)
    arguments = {
        "z_dim": 6,
        "w_dim": 8,
        "num_layers": 2,
        "img_resolution": 16,
        "channels": {4: 7, 8: 5, 16: 3},
    }
    generator = StyleGAN2(**(arguments | changes)).requires_grad_(False)
    for name, tensor in generator.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            tensor.normal_()
    return generator


def written(folder: Path, content: bytes, name: str = "network.pkl") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def nvidia_file(folder: Path, protocol: int = 4, **networks: Any) -> Path:
    return written(folder, dump(nvidia_content(networks), protocol))


def loaded(checkpoint: Checkpoint) -> StyleGAN2:
    generator = StyleGAN2.from_config(checkpoint.config)
    generator.load_state_dict(checkpoint.tensors)
    return generator.requires_grad_(False)


def assert_same(checkpoint: Checkpoint, generator: StyleGAN2) -> None:
    """Configuration, tensors and images are those of ``generator``, bit for bit."""
    assert checkpoint.config == generator.config()
    assert checkpoint.tensors.keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(checkpoint.tensors[name], tensor), name
        assert checkpoint.tensors[name].dtype == torch.float32
        assert checkpoint.tensors[name].stride() == tensor.contiguous().stride()
    w = torch.randn(2, generator.w_dim)
    assert torch.equal(loaded(checkpoint).synthesize(w), generator.synthesize(w))


# The machine.

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**100), 2**100) | st.floats(allow_nan=False) | st.text(),
    lambda values: (
        st.lists(values, max_size=5)
        | st.lists(values, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(-5, 2**40) | st.none(), values, max_size=5)
        | st.dictionaries(st.text(), values, max_size=5).map(OrderedDict)
        | st.sets(st.text() | st.integers(), max_size=5)
        | st.binary(max_size=255)
    ),
    max_leaves=30,
)


@settings(deadline=None)
@given(PLAIN, st.sampled_from([3, 4, 5]))
def test_plain_data_is_read_as_python_reads_it(value: object, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert read_pickle(memoryview(content), 0, Budget(payload=0)).alone_in(memoryview(content)) == value


def test_what_a_pickle_would_call_is_only_noted() -> None:
    content = pickle.dumps({"device": torch.device("cpu"), "kind": torch.float32})
    value = read_pickle(memoryview(content), 0, Budget(payload=0)).value
    assert isinstance(value, dict) and value["kind"] == Global("torch.float32")
    assert (value["device"].name, value["device"].args) == ("torch.device", ("cpu",))


# NVIDIA's pickles.


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_comes_back_bit_for_bit(tmp_path: Path, kind: str, protocol: int) -> None:
    generator = tiny(**KINDS[kind])
    path = nvidia_file(tmp_path, protocol, G_ema=nvidia_generator(generator))
    assert_same(read_checkpoint(path), generator)


@pytest.mark.parametrize("layout", ["ada", "stylegan3"])
@pytest.mark.parametrize("arguments", [True, False], ids=["own", "handed"])
@pytest.mark.parametrize("settings", [True, False], ids=["layers-tell", "arguments-tell"])
def test_settings_are_found_in_layers_or_arguments(
    tmp_path: Path, layout: str, arguments: bool, settings: bool
) -> None:
    generator = tiny(conv_clamp=256.0, block_architecture="resnet", mapping_lr_multiplier=0.02, c_dim=2)
    stored = nvidia_generator(generator, layout, arguments=arguments, settings=settings)
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), generator)


def test_layers_are_believed_before_arguments(tmp_path: Path) -> None:
    generator = tiny(conv_clamp=256.0)  # the default of stylegan3's blocks, which no argument mentions
    stored = nvidia_generator(generator, synthesis_kwargs={"conv_clamp": None})
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), generator)


def test_arguments_may_be_given_by_position(tmp_path: Path) -> None:
    generator = tiny()
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
    generator = tiny(block_architecture="resnet")
    path = nvidia_file(tmp_path, protocol, G_ema=nvidia_generator(generator, change=store))
    assert_same(read_checkpoint(path), tiny(block_architecture="resnet"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = nvidia_generator(tiny(), change=lambda t: channels_last(t.to(dtype)))
    tensors = read_checkpoint(nvidia_file(tmp_path, G_ema=stored)).tensors
    for res in (8, 16):
        weight = tiny().state_dict()[f"synthesis.b{res}.conv0.weight"]
        assert torch.equal(tensors[f"synthesis.b{res}.conv0.weight"], weight.to(dtype).float())


def test_frozen_layers_keep_their_weights_as_buffers(tmp_path: Path) -> None:
    stored = nvidia_generator(tiny())
    state = stored.state["_modules"]["mapping"].state["_modules"]["fc0"].state
    state["_parameters"], state["_buffers"] = OrderedDict(bias=None), state["_parameters"]
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), tiny())


def test_buffers_that_do_not_persist_are_not_tensors_of_the_network(tmp_path: Path) -> None:
    stored = nvidia_generator(tiny())
    state = stored.state["_modules"]["synthesis"].state
    state["_buffers"]["grid"], state["_non_persistent_buffers_set"] = torch.ones(2), {"grid"}
    assert_same(read_checkpoint(nvidia_file(tmp_path, G_ema=stored)), tiny())


def test_the_name_chooses_the_network(tmp_path: Path) -> None:
    path = nvidia_file(tmp_path, G=nvidia_generator(tiny(seed=1)), G_ema=nvidia_generator(tiny(seed=2)))
    assert_same(read_checkpoint(path), tiny(seed=2))
    assert_same(read_checkpoint(path, "G"), tiny(seed=1))


def test_the_source_tells_where_the_network_comes_from(tmp_path: Path) -> None:
    source = read_checkpoint(nvidia_file(tmp_path, G_ema=nvidia_generator(tiny()))).source
    assert source == json.loads(json.dumps(source))
    assert source["module_sha256"] == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert {
        name: source[name] for name in ("format", "network", "class_name", "tensors", "num_fp16_res")
    } == {
        "format": "nvidia-pickle",
        "network": "G_ema",
        "class_name": "Generator",
        "tensors": len(tiny().state_dict()),
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
    path = nvidia_file(tmp_path, G_ema=nvidia_generator(tiny()))
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
    stored = nvidia_generator(tiny(), settings=False)
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
    stored = module = nvidia_generator(tiny())
    for name in path.split("."):
        module = module.state["_modules"][name]
    module.state[setting] = value
    with pytest.raises(PipelineError, match=message):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))


def test_another_filter_is_refused(tmp_path: Path) -> None:
    generator = tiny()
    generator.state_dict()["synthesis.b8.conv0.resample_filter"].fill_(1 / 16)
    with pytest.raises(PipelineError, match=r"filter \[1, 3, 3, 1\] as synthesis\.b8\.conv0"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=nvidia_generator(generator)))


def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    stored = nvidia_generator(tiny())
    del (
        stored.state["_modules"]["synthesis"]
        .state["_modules"]["b8"]
        .state["_modules"]["torgb"]
        .state["_parameters"]["bias"]
    )
    with pytest.raises(PipelineError, match=r"synthesis\.b8\.torgb\.bias of shape \(3,\), got absent"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))
    stored = nvidia_generator(tiny())
    stored.state["_modules"]["mapping"].state["_buffers"]["gain"] = torch.ones(2)
    with pytest.raises(PipelineError, match=r"mapping\.gain of shape absent, got \(2,\)"):
        read_checkpoint(nvidia_file(tmp_path, G_ema=stored))


# rosinality's state dicts.


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


# All files.


def test_an_imported_network_is_saved_and_loaded_like_any_other(tmp_path: Path) -> None:
    for content in (
        dump({"G_ema": nvidia_generator(tiny())}),
        save({"g_ema": rosinality_state((4, 3), 8, 1)}),
    ):
        checkpoint = read_checkpoint(written(tmp_path, content))
        save_weights(tmp_path / "imported", checkpoint.tensors, checkpoint.config)
        w = torch.randn(2, 8)
        expected = loaded(checkpoint).synthesize(w)
        assert torch.equal(load_generator(tmp_path / "imported").synthesize(w), expected)


def test_the_content_tells_the_format_and_not_the_name(tmp_path: Path) -> None:
    nvidia = written(tmp_path, dump({"G_ema": nvidia_generator(tiny())}), "network.pt")
    rosinality = written(tmp_path, save({"g_ema": rosinality_state((4, 3), 8, 1)}), "network.pkl")
    assert read_checkpoint(nvidia).source["format"] == "nvidia-pickle"
    assert read_checkpoint(rosinality).source["format"] == "rosinality"


def test_reading_leaves_random_numbers_and_modules_alone(tmp_path: Path) -> None:
    paths = [
        nvidia_file(tmp_path, G_ema=nvidia_generator(tiny())),
        written(tmp_path, save({"g_ema": rosinality_state((4, 3), 8, 1)}), "network.pt"),
    ]
    before, modules = torch.get_rng_state(), set(sys.modules)
    for path in paths:
        read_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), before)
    assert not {name for name in set(sys.modules) - modules if not name.startswith(("torch.", "sympy"))}


def test_tensors_outlive_the_file(tmp_path: Path) -> None:
    path = nvidia_file(tmp_path, G_ema=nvidia_generator(tiny()))
    checkpoint = read_checkpoint(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert_same(checkpoint, tiny())


@pytest.mark.parametrize("content", [b"", b"once upon a time", b"\x80\x04N.", b"\x1f\x8b\x08\x00"])
def test_other_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    with pytest.raises(PipelineError, match=f"cannot read the checkpoint {path}: expected"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["absent.pkl", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PipelineError, match="expected a file"):
        read_checkpoint(tmp_path / name)
