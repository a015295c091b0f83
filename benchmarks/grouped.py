"""The baseline of :mod:`benchmarks.synthesis`: StyleGAN2 by per-sample weights and grouped convolutions.

It is the sequence of torch operations that NVIDIA's published PyTorch implementation (stylegan2-ada-pytorch)
runs without its CUDA extensions, written down anew from the papers and from its behaviour: each sample's
weights are modulated and demodulated, the batch becomes groups of one convolution; a transposed convolution
of stride 2 up-samples, then the padded result is filtered by a depthwise convolution; images are up-sampled
by zeros between their pixels and the same filter; noise, bias, leaky ReLU, gain and clamp follow one by one.
Everything is NCHW. It takes the weights of our generator.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
    Training Generative Adversarial Networks with Limited Data (Karras et al., 2020),
    https://arxiv.org/abs/2006.06676
"""

from __future__ import annotations

__all__ = ["grouped"]

from typing import cast

import torch.nn.functional as F
from torch import Tensor

from pipeline.generators import StyleGAN2
from pipeline.generators.base import Synthesis
from pipeline.generators.layers import EPSILON, GAIN, SLOPE, Shortcut, SynthesisLayer, ToRGB
from pipeline.generators.networks import HALF, SynthesisBlock, SynthesisNetwork


def grouped(generator: StyleGAN2) -> Synthesis:
    """``w [N, w_dim]`` → ``img [N, 3, H, W]``, noise constant, in the type of the weights."""
    network = cast(SynthesisNetwork, dict(generator.named_children())["synthesis"])
    blocks = [cast(SynthesisBlock, network.get_submodule(f"b{res}")) for res in network.resolutions]

    def synthesize(w: Tensor) -> Tensor:
        x = img = None
        ws = generator.broadcast(w)
        for i, block in enumerate(blocks):
            x, img = _block(block, x, img, ws[:, max(2 * i - 1, 0) : 2 * i + 2].unbind(1))
        return cast(Tensor, img)

    return synthesize


def _block(
    block: SynthesisBlock, x: Tensor | None, img: Tensor | None, ws: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor | None]:
    if x is None:
        x = _layer(block.conv1, block.const.repeat(len(ws[0]), 1, 1, 1), ws[0])
    elif block.skip is None:
        x = _layer(block.conv1, _layer(block.conv0, x, ws[0]), ws[1])
    else:
        shortcut = _shortcut(block.skip, x)
        x = shortcut.add_(_layer(block.conv1, _layer(block.conv0, x, ws[0]), ws[1], HALF))
    if img is not None:
        img = _upsample(img, block.resample_filter)
    if block.torgb is not None:
        rgb = _to_rgb(block.torgb, x, ws[-1])
        img = rgb if img is None else img.add_(rgb)
    return x, img


def _layer(layer: SynthesisLayer, x: Tensor, w: Tensor, gain: float = 1.0) -> Tensor:
    weight = _modulated(layer.weight, layer.affine(w))
    weight = weight * (weight.square().sum(dim=(2, 3, 4)) + EPSILON).rsqrt()[:, :, None, None, None]
    x = _convolve_up(x, weight, layer.resample_filter) if layer.up else _convolve(x, weight, padding=1)
    x = x.add_(layer.noise_const * layer.noise_strength)
    x = F.leaky_relu(x + layer.bias[None, :, None, None], SLOPE) * (GAIN * gain)
    return x if layer.conv_clamp is None else x.clamp(-layer.conv_clamp * gain, layer.conv_clamp * gain)


def _to_rgb(layer: ToRGB, x: Tensor, w: Tensor) -> Tensor:
    weight = _modulated(layer.weight, layer.affine(w) * layer.weight_gain)
    x = _convolve(x, weight, padding=0) + layer.bias[None, :, None, None]
    return x if layer.conv_clamp is None else x.clamp(-layer.conv_clamp, layer.conv_clamp)


def _shortcut(layer: Shortcut, x: Tensor) -> Tensor:
    return _upsample(F.conv2d(x, layer.weight * layer.weight_gain), layer.resample_filter) * HALF


def _modulated(weight: Tensor, style: Tensor) -> Tensor:
    """A weight for each sample, ``[N, O, I, k, k]``."""
    return weight[None] * style[:, None, :, None, None]


def _convolve(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    n, height = len(x), x.shape[2]
    y = F.conv2d(x.reshape(1, -1, height, height), weight.flatten(0, 1), padding=padding, groups=n)
    return y.reshape(n, -1, height, height)


def _convolve_up(x: Tensor, weight: Tensor, fir: Tensor) -> Tensor:
    """Transposed convolution of stride 2 to ``2H + 1`` pixels, then the filter with padding 1."""
    n, height = len(x), x.shape[2]
    kernels = weight.transpose(1, 2).flatten(0, 1)
    y = F.conv_transpose2d(x.reshape(1, -1, height, height), kernels, stride=2, groups=n)
    return _filtered(F.pad(y.reshape(n, -1, 2 * height + 1, 2 * height + 1), [1, 1, 1, 1]), fir)


def _upsample(img: Tensor, fir: Tensor) -> Tensor:
    """Zeros between the pixels, then the filter."""
    n, channels, height, width = img.shape
    img = F.pad(img.reshape(n, channels, height, 1, width, 1), [0, 1, 0, 0, 0, 1])
    return _filtered(F.pad(img.reshape(n, channels, 2 * height, 2 * width), [2, 1, 2, 1]), fir)


def _filtered(x: Tensor, fir: Tensor) -> Tensor:
    """A depthwise convolution with the filter, gain 4, without padding."""
    return F.conv2d(x, (4 * fir).expand(x.shape[1], 1, 4, 4), groups=x.shape[1])
