"""StyleGAN2 against a plain float64 reference, and the properties that the pipeline leans on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2, load_generator
from pipeline.generators.layers import SynthesisLayer, ToRGB
from pipeline.generators.resampling import fir_filter, upsample_image
from pipeline.weights import save_weights
from tests.generators import frozen, tiny
from tests.pipeline import reference_stylegan2 as reference


def plain(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """A module's tensors for the reference."""
    return {name: t.detach().double().numpy() for name, t in module.state_dict().items()}


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_the_plain_reference(up: bool) -> None:
    torch.manual_seed(0)
    layer = SynthesisLayer(5, 4, 8, res=12 if up else 6, up=up, conv_clamp=None)
    layer.noise_strength.data.fill_(0.3)
    layer.bias.data.normal_()
    x, w = torch.randn(3, 5, 6, 6, dtype=torch.float64), torch.randn(3, 8, dtype=torch.float64)
    images = [
        reference.layer(plain(layer), xi, wi, up=up) for xi, wi in zip(x.numpy(), w.numpy(), strict=True)
    ]
    expected = np.stack(images)
    np.testing.assert_allclose(layer.double()(x, w, "const").detach().numpy(), expected, rtol=0, atol=1e-12)
    single = layer.float()(x.float(), w.float(), "const").detach().numpy()
    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_image_upsampling_equals_zeros_between_pixels_and_the_filter() -> None:
    img = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    expected = np.stack([reference.upsample(sample) for sample in img.numpy()])
    np.testing.assert_allclose(
        upsample_image(img, fir_filter().double()).numpy(), expected, rtol=0, atol=1e-14
    )


RESOLUTIONS = [4, 8, 16, 32, 64, 128, 256, 512, 1024]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_images_equal_the_plain_reference_at_every_resolution(resolution: int) -> None:
    widths = {res: max(2, 24 // res) for res in RESOLUTIONS}
    generator = frozen(img_resolution=resolution, channels=widths, conv_clamp=256.0)
    ws = torch.randn(1, generator.num_ws, 8)
    expected = reference.reference_image(plain(generator), generator.config(), ws[0].double().numpy())
    found = generator.synthesis(ws)[0].numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("block", ["skip", "resnet", "orig"])
def test_every_architecture_equals_the_plain_reference(block: str, clamp: float | None) -> None:
    generator = frozen(block_architecture=block, conv_clamp=clamp).double()
    ws = torch.randn(2, generator.num_ws, 8, dtype=torch.float64)
    expected = [reference.reference_image(plain(generator), generator.config(), row) for row in ws.numpy()]
    np.testing.assert_allclose(generator.synthesis(ws).numpy(), np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("c_dim", [0, 3])
def test_styles_equal_the_plain_reference(c_dim: int) -> None:
    generator = frozen(c_dim=c_dim).double()
    z = torch.randn(4, 6, dtype=torch.float64)
    c = torch.eye(3, dtype=torch.float64)[[0, 2, 1, 2]] if c_dim else None
    expected = reference.reference_styles(
        plain(generator), generator.config(), z.numpy(), None if c is None else c.numpy()
    )
    np.testing.assert_allclose(generator.mapping(z, c=c).numpy(), expected, rtol=0, atol=1e-12)


def test_classes_give_different_styles_and_are_asked_for() -> None:
    generator, z = frozen(c_dim=2), torch.randn(1, 6)
    one, other = (generator.mapping(z, c=torch.eye(2)[[k]]) for k in (0, 1))
    assert (one - other).abs().max() > 0.01
    with pytest.raises(ValueError, match=r"class labels c of shape \[N, 2\], got none"):
        generator.mapping(z)
    with pytest.raises(ValueError, match=r"shape \[N, 0\], got \[1, 2\]"):
        tiny().mapping(z, c=torch.eye(2)[:1])


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


LOWER = [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)]


@pytest.mark.parametrize(("dtype", "bound"), LOWER)
@pytest.mark.parametrize("block", ["skip", "resnet", "orig"])
def test_lower_precision_stays_near_single(block: str, dtype: torch.dtype, bound: float) -> None:
    generator = frozen(
        img_resolution=64, channel_base=256, channels=None, block_architecture=block, conv_clamp=256.0
    )
    ws = torch.randn(2, generator.num_ws, 8)
    with torch.autocast("cpu", dtype):
        found = generator.synthesis(ws)
    assert found.dtype == torch.float32
    assert 0 < relative_error(found, generator.synthesis(ws)) < bound


@pytest.mark.parametrize(("dtype", "bound"), LOWER)
def test_nothing_overflows_at_1024_when_styles_and_features_are_large(
    dtype: torch.dtype, bound: float
) -> None:
    widths = {res: 512 if res <= 16 else 4 for res in RESOLUTIONS}
    generator = frozen(img_resolution=1024, channels=widths, conv_clamp=256.0)
    for layer in (m for m in generator.modules() if isinstance(m, SynthesisLayer)):
        layer.affine.bias.fill_(100.0)  # style.square() alone is at the end of half precision's range
        layer.bias.mul_(100.0)  # features reach the clamp
    ws = torch.randn(1, generator.num_ws, 8)
    with torch.autocast("cpu", dtype):
        found = generator.synthesis(ws)
    assert torch.isfinite(found).all()
    assert relative_error(found, generator.synthesis(ws)) < bound


def test_half_precision_without_a_clamp_is_refused() -> None:
    with torch.autocast("cpu", torch.float16), pytest.raises(ValueError, match="conv_clamp.*bfloat16"):
        tiny(conv_clamp=None).synthesis(torch.randn(1, 6, 8))


@pytest.mark.parametrize("block", ["resnet", "orig"])
def test_only_the_skip_architecture_stops_at_a_lower_resolution(block: str) -> None:
    with pytest.raises(ValueError, match=f"skip generator.*{block}"):
        tiny(block_architecture=block).synthesis(torch.randn(1, 6, 8), resolution=8)


def test_an_unknown_architecture_of_blocks_is_refused() -> None:
    with pytest.raises(PipelineError, match="block_architecture.*'dense'"):
        tiny(block_architecture="dense")


def test_torgb_is_modulated_and_not_demodulated() -> None:
    torch.manual_seed(0)
    layer = ToRGB(4, 8, conv_clamp=None).double()
    x, w = torch.randn(2, 4, 3, 3, dtype=torch.float64), torch.randn(2, 8, dtype=torch.float64)
    style = (w @ layer.affine.weight.t() / 8**0.5 + layer.affine.bias) / 4**0.5
    expected = torch.einsum("oi,ni,nihw->nohw", layer.weight[:, :, 0, 0], style, x)
    torch.testing.assert_close(layer(x, w), expected)


def test_mapping_scales_stored_weights_by_the_learning_rate_multiplier() -> None:
    slow, fast = tiny(mapping_lr_multiplier=0.01), tiny(mapping_lr_multiplier=1.0)
    fast.load_state_dict(slow.state_dict())
    for name, parameter in fast.named_parameters():
        if name.startswith("mapping"):
            parameter.data *= 0.01
    z = torch.randn(4, 6)
    torch.testing.assert_close(slow.mapping(z), fast.mapping(z))


def test_mapping_ignores_the_length_of_z() -> None:
    z = torch.randn(4, 6)
    torch.testing.assert_close(tiny().mapping(z), tiny().mapping(3 * z))


def test_truncation_draws_toward_the_mean_style() -> None:
    generator, z = tiny(), torch.randn(4, 6)
    generator.w_avg.normal_()
    half = (generator.mapping(z) + generator.w_avg) / 2
    torch.testing.assert_close(generator.mapping(z, truncation_psi=0.5), half)
    torch.testing.assert_close(generator.mapping(z, truncation_psi=0.0), generator.w_avg.expand(4, -1))


def test_gradient_flows_from_the_image_to_every_style() -> None:
    ws = torch.randn(2, 6, 8, requires_grad=True)
    tiny().synthesis(ws).square().sum().backward()
    assert ws.grad is not None and (ws.grad.abs().sum(dim=2) > 0).all()


def test_gradient_to_w_is_the_derivative() -> None:
    generator = tiny(img_resolution=8).double()
    w = torch.randn(2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(generator.synthesize, w)


def test_constant_noise_is_deterministic_and_random_noise_is_not() -> None:
    generator, ws = tiny(), torch.randn(2, 6, 8)
    assert torch.equal(generator.synthesis(ws), generator.synthesis(ws))
    assert not torch.equal(generator.synthesis(ws, "random"), generator.synthesis(ws, "random"))
    assert not torch.equal(generator.synthesis(ws, "none"), generator.synthesis(ws))


def test_an_image_does_not_depend_on_its_batch() -> None:
    generator, w = tiny(), torch.randn(5, 8)
    torch.testing.assert_close(
        generator.synthesize(w)[2:3], generator.synthesize(w[2:3]), rtol=1e-5, atol=1e-5
    )


def test_a_lower_resolution_is_the_image_before_the_last_blocks() -> None:
    whole, ws = tiny(), torch.randn(2, 6, 8)
    half = tiny(img_resolution=8)
    half.load_state_dict({name: t for name, t in whole.state_dict().items() if ".b16." not in name})
    torch.testing.assert_close(whole.synthesis(ws, resolution=8), half.synthesis(ws[:, :4]))


def test_conv_clamp_bounds_the_image() -> None:
    bound = 3 * 0.01  # one tRGB for each of the three resolutions
    assert tiny(conv_clamp=0.01).synthesis(torch.randn(2, 6, 8)).abs().max() <= bound + 1e-6


def test_tensor_names_are_the_official_ones() -> None:
    layer = {
        "weight",
        "bias",
        "noise_const",
        "noise_strength",
        "affine.weight",
        "affine.bias",
        "resample_filter",
    }
    rgb = {"weight", "bias", "affine.weight", "affine.bias"}
    names = {"mapping.w_avg", "synthesis.b4.const"}
    names |= {f"mapping.fc{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")}
    skip = {f"synthesis.b{res}.skip.{name}" for res in (8, 16) for name in ("weight", "resample_filter")}
    embed = {"mapping.embed.weight", "mapping.embed.bias"}
    for res in (4, 8, 16):
        names |= {f"synthesis.b{res}.resample_filter"} | {f"synthesis.b{res}.torgb.{n}" for n in rgb}
        names |= {f"synthesis.b{res}.{conv}.{n}" for conv in ("conv0", "conv1")[res == 4 :] for n in layer}
    assert set(tiny().state_dict()) == names
    early = {name for name in names if ".b4.torgb" in name or ".b8.torgb" in name}
    assert set(tiny(block_architecture="resnet", c_dim=3).state_dict()) == (names - early) | skip | embed


def test_num_ws_is_the_number_of_convolutions_and_one() -> None:
    generator = tiny()
    convolutions = [m for m in generator.modules() if isinstance(m, SynthesisLayer)]
    assert generator.num_ws == len(convolutions) + 1


def test_channels_follow_base_and_maximum() -> None:
    generator = StyleGAN2(img_resolution=64, channel_base=256, channel_max=20)
    assert generator.channels == {4: 20, 8: 20, 16: 16, 32: 8, 64: 4}


def saved(folder: Path, generator: StyleGAN2, **changes: object) -> Path:
    save_weights(folder, generator.state_dict(), generator.config() | changes)
    return folder


def images_of(generator: object, w: Tensor) -> Tensor:
    assert isinstance(generator, StyleGAN2)
    return generator.synthesize(w)


def test_saving_and_loading_gives_the_same_images_frozen(tmp_path: Path) -> None:
    generator, w = tiny(), torch.randn(2, 8)
    loaded = load_generator(saved(tmp_path, generator))
    assert torch.equal(images_of(loaded, w), images_of(generator, w))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    assert json.loads((tmp_path / "config.json").read_text())["architecture"] == "stylegan2"


def test_loading_names_an_unknown_architecture(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="stylegan2.*'biggan'"):
        load_generator(saved(tmp_path, tiny(), architecture="biggan"))


def test_loading_names_a_tensor_of_another_shape(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"synthesis\.b16\.conv0\.affine|synthesis\.b16\.conv0\.bias"):
        load_generator(saved(tmp_path, tiny(), channels={"4": 7, "8": 5, "16": 4}))


def test_loading_names_a_missing_tensor(tmp_path: Path) -> None:
    generator = tiny()
    tensors = {name: t for name, t in generator.state_dict().items() if name != "synthesis.b8.torgb.bias"}
    save_weights(tmp_path, tensors, generator.config())
    with pytest.raises(PipelineError, match=r"synthesis\.b8\.torgb\.bias"):
        load_generator(tmp_path)


def test_loading_names_an_unknown_argument(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="colour"):
        load_generator(saved(tmp_path, tiny(), colour="blue"))


@pytest.mark.parametrize("resolution", [2, 48])
def test_a_resolution_that_cannot_be_is_refused(resolution: int) -> None:
    with pytest.raises(PipelineError, match=f"power of two.*{resolution}"):
        tiny(img_resolution=resolution)


def test_styles_that_are_not_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[N, 6, 8\], got \[2, 8\]"):
        tiny().synthesis(torch.randn(2, 8))
