"""Prepared synthesis against the plain path: the same images, the same gradients, nothing left to change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.grouped import grouped
from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2, prepared
from pipeline.generators.layers import SynthesisLayer
from tests.fakes import FakeGenerator
from tests.generators import frozen, tiny

BLOCKS = ["skip", "resnet", "orig"]
LOWER = [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)]


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("block", BLOCKS)
def test_images_equal_those_of_the_plain_path(block: str, clamp: float | None) -> None:
    generator, w = frozen(block_architecture=block, conv_clamp=clamp).double(), torch.randn(3, 8).double()
    found = generator.prepare(torch.float64)(w)
    torch.testing.assert_close(found, generator.synthesize(w), rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", BLOCKS)
def test_single_precision_is_within_a_hundred_thousandth(block: str) -> None:
    generator = frozen(img_resolution=64, channel_base=2048, channels=None, block_architecture=block)
    w = torch.randn(3, 8)
    expected = generator.synthesize(w)
    found = generator.prepare()(w)
    assert (found - expected).abs().max() <= 1e-5 * (expected.max() - expected.min())


@pytest.mark.parametrize("block", BLOCKS)
def test_each_layer_may_have_a_style_of_its_own(block: str) -> None:
    generator = frozen(block_architecture=block).double()
    ws = torch.randn(3, generator.num_ws, 8, dtype=torch.float64)
    found = generator.prepare(torch.float64)(ws)
    torch.testing.assert_close(found, generator.synthesis(ws), rtol=0, atol=1e-12)


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_equal_those_of_the_plain_path(block: str, clamp: float | None) -> None:
    generator = frozen(block_architecture=block, conv_clamp=clamp).double()
    w = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    (expected,) = torch.autograd.grad(generator.synthesize(w), w, noise)
    (found,) = torch.autograd.grad(generator.prepare(torch.float64)(w), w, noise)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("block", BLOCKS)
def test_recording_a_gradient_changes_no_image(block: str) -> None:
    synthesize, w = frozen(block_architecture=block, conv_clamp=0.7).prepare(), torch.randn(3, 8)
    recorded = synthesize(w.clone().requires_grad_())
    with torch.no_grad():
        assert torch.equal(synthesize(w), recorded)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_batch_that_is_cut_gives_the_images_of_the_whole(
    block: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, w = frozen(block_architecture=block).double(), torch.randn(7, 8, dtype=torch.float64)
    whole = generator.prepare(torch.float64)(w)
    monkeypatch.setattr(prepared, "CACHE", 8 * 5 * 8 * 8 * 3)  # three images at 8×8, one at 16×16
    cut = generator.prepare(torch.float64)(w)
    torch.testing.assert_close(cut, whole, rtol=0, atol=1e-12)


def test_calls_leave_styles_and_preparation_as_they_are() -> None:
    synthesize, w = frozen().prepare(), torch.randn(1, 8)
    kept = w.clone()
    with torch.no_grad():
        assert torch.equal(synthesize(w), synthesize(w))
    assert torch.equal(w, kept)


def test_later_changes_of_the_weights_do_not_show() -> None:
    generator, w = tiny(), torch.randn(2, 8)
    synthesize = generator.prepare()
    before = synthesize(w)
    for tensor in generator.state_dict().values():
        tensor.zero_()
    assert torch.equal(synthesize(w), before)


@pytest.mark.parametrize(("dtype", "bound"), LOWER)
@pytest.mark.parametrize("block", BLOCKS)
def test_lower_precision_stays_near_single(block: str, dtype: torch.dtype, bound: float) -> None:
    generator = frozen(
        img_resolution=64, channel_base=256, channels=None, block_architecture=block, conv_clamp=256.0
    )
    w = torch.randn(2, 8)
    found = generator.prepare(dtype)(w)
    assert found.dtype == torch.float32
    assert 0 < relative_error(found, generator.synthesize(w)) < bound


@pytest.mark.parametrize(("dtype", "bound"), LOWER)
def test_nothing_overflows_when_styles_and_features_are_large(dtype: torch.dtype, bound: float) -> None:
    widths = {res: 512 if res <= 16 else 4 for res in (4, 8, 16, 32, 64, 128, 256)}
    generator = frozen(img_resolution=256, channels=widths, conv_clamp=256.0)
    for layer in (m for m in generator.modules() if isinstance(m, SynthesisLayer)):
        layer.affine.bias.fill_(100.0)  # style.square() alone is at the end of half precision's range
        layer.bias.mul_(100.0)  # features reach the clamp
    w = torch.randn(1, 8)
    found = generator.prepare(dtype)(w)
    assert torch.isfinite(found).all()
    assert relative_error(found, generator.synthesize(w)) < 2 * bound  # at the clamp rounding is largest


@pytest.mark.parametrize("generator", [tiny(conv_clamp=None), FakeGenerator()])
def test_half_precision_without_a_bound_is_refused(generator: StyleGAN2 | FakeGenerator) -> None:
    with pytest.raises(ValueError, match="half precision.*bfloat16"):
        generator.prepare(torch.float16)


def test_any_generator_can_be_prepared() -> None:
    generator, w = FakeGenerator(), torch.randn(3, 16)
    assert torch.equal(generator.prepare()(w), generator.synthesize(w))
    lower = generator.prepare(torch.bfloat16)(w)
    assert 0 < relative_error(lower.float(), generator.synthesize(w)) < 2e-2


@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("block", BLOCKS)
def test_the_baseline_of_the_benchmark_makes_the_same_images(block: str, clamp: float | None) -> None:
    generator, w = frozen(block_architecture=block, conv_clamp=clamp).double(), torch.randn(3, 8).double()
    torch.testing.assert_close(grouped(generator)(w), generator.synthesize(w), rtol=0, atol=1e-12)


def test_a_skip_generator_stops_at_a_smaller_image() -> None:
    generator, w = frozen().double(), torch.randn(3, 8).double()
    plain = generator.synthesis(generator.broadcast(w), resolution=8)
    torch.testing.assert_close(generator.prepare(torch.float64, resolution=8)(w), plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("generator", "resolution"), [(tiny(block_architecture="resnet"), 8), (tiny(), 12), (FakeGenerator(), 4)]
)
def test_an_image_that_a_generator_does_not_have_is_refused(
    generator: StyleGAN2 | FakeGenerator, resolution: int
) -> None:
    with pytest.raises(PipelineError, match=rf"images of {resolution} pixels .* set image_resolution to 0"):
        generator.prepare(resolution=resolution)
