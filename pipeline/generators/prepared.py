"""StyleGAN2's synthesis prepared for many calls: what depends on the weights alone is computed once.

The function is that of :class:`~pipeline.generators.networks.SynthesisNetwork` with constant noise, which
stays the reference. What makes it faster, on a CPU above all:

- The affine layers of all blocks are one matrix product; sums of squared weights, noise times strength plus
  bias, scaled and cast weights are there already.
- The up-sampling convolution is a transposed convolution, 9·I·O multiplications for each input pixel, and a
  depthwise one with the filter. (As one 3×3 convolution to four sub-pixels it takes 36·I·O.)
- Wide 3×3 convolutions take a quarter of the multiplications (:mod:`pipeline.generators.winograd`).
- Features are channels last, and change in place where no gradient is recorded.
- Before a block whose features would outgrow the caches, the batch is cut, and its parts go on one after the
  other. Where it is cut depends on shapes alone, so that equal batches give equal bits.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
"""

from __future__ import annotations

__all__ = ["PreparedSynthesis"]

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.generators.layers import (
    EPSILON,
    GAIN,
    SLOPE,
    FullyConnected,
    Shortcut,
    SynthesisLayer,
    ToRGB,
    style_peak,
    weight_bound,
)
from pipeline.generators.networks import HALF, SynthesisBlock, SynthesisNetwork
from pipeline.generators.winograd import winograd_conv, winograd_weight

CACHE = 1 << 22  # bytes; on a CPU a batch is cut where the features of one layer outgrow it
WIDE, LARGE = 256, 16  # channels and pixels from which on fewer multiplications outweigh the transforms


class PreparedSynthesis(nn.Module):
    """``w [N, w_dim]`` or ``ws [N, num_ws, w_dim]`` → ``img [N, 3, H, W]``, noise constant.

    It is differentiable in the styles, stays on the device of the network, and does not follow later changes
    of its weights.

    Arguments:
        network: the synthesis network.
        dtype: of features and their weights; styles, demodulation and the image stay in the network's type.
        resolution: of the image: that of the last block that is run.
    """

    def __init__(self, network: SynthesisNetwork, dtype: torch.dtype, resolution: int) -> None:
        super().__init__()
        resolutions = [res for res in network.resolutions if res <= resolution]
        plain = [cast(SynthesisBlock, network.get_submodule(f"b{res}")) for res in resolutions]
        with torch.no_grad():
            self.styles = Styles(plain)
            self.blocks = nn.ModuleList(Block(block, dtype, last=block is plain[-1]) for block in plain)

    def forward(self, w: Tensor) -> Tensor:
        """Images of styles, in the styles' type."""
        with torch.autocast(w.device.type, enabled=False):
            styles, blocks = iter(self.styles(w)), cast(list[Block], list(self.blocks))
            codes = [code for block in blocks for code in block.codes(styles)]
            return _run(blocks, None, None, codes)


def _run(blocks: list[Block], x: Tensor | None, img: Tensor | None, codes: Sequence[Tensor]) -> Tensor:
    """The image, from what the blocks before have made and the codes of those to come."""
    for i, block in enumerate(blocks):
        if (pieces := block.pieces(codes[0])) > 1:
            cut = zip(*(_cut(rows, pieces) for rows in (x, img, *codes)), strict=True)
            return torch.cat([_run(blocks[i:], x, img, cast(list[Tensor], codes)) for x, img, *codes in cut])
        x, img = block(x, img, *codes[: block.inputs])
        codes = codes[block.inputs :]
    return cast(Tensor, img)


def _cut(rows: Tensor | None, pieces: int) -> Sequence[Tensor | None]:
    return [None] * pieces if rows is None else rows.tensor_split(pieces)


class Styles(nn.Module):
    """All affine layers: what scales the input of each convolution and tRGB, in the order of their use."""

    weight: Tensor
    bias: Tensor

    def __init__(self, blocks: Sequence[SynthesisBlock]) -> None:
        super().__init__()
        layers = [layer for i, block in enumerate(blocks) for layer in _modulated(block, i)]
        self.indices = [index for index, _, _ in layers]
        self.widths = [len(affine.weight) for _, affine, _ in layers]
        weights = [affine.weight * (affine.weight_gain * gain) for _, affine, gain in layers]
        biases = [affine.bias * (affine.bias_gain * gain) for _, affine, gain in layers]
        self.register_buffer("weight", torch.cat(weights), persistent=False)
        self.register_buffer("bias", torch.cat(biases), persistent=False)

    def forward(self, w: Tensor) -> Sequence[Tensor]:
        """``[N, in_channels]`` for each layer."""
        if w.ndim == 2:
            return F.linear(w, self.weight, self.bias).split(self.widths, dim=1)
        affines = zip(self.weight.split(self.widths), self.bias.split(self.widths), strict=True)
        return [F.linear(w[:, i], *affine) for i, affine in zip(self.indices, affines, strict=True)]


def _modulated(block: SynthesisBlock, i: int) -> Iterator[tuple[int, FullyConnected, float]]:
    """For each modulated layer of block i: which of ws it takes, its affine layer, the gain of its style."""
    if not block.first:
        yield 2 * i - 1, block.conv0.affine, 1.0
    yield 2 * i, block.conv1.affine, 1.0
    if block.torgb is not None:
        yield 2 * i + 1, block.torgb.affine, block.torgb.weight_gain


class Block(nn.Module):
    """One resolution.

    Its *codes* are, in this order: style and scale of each convolution, and the style of tRGB, each
    ``[N, channels, 1, 1]``.
    """

    const: Tensor
    image_filter: Tensor

    def __init__(self, block: SynthesisBlock, dtype: torch.dtype, last: bool) -> None:
        super().__init__()
        gain = 1.0 if block.skip is None else HALF
        self.conv0 = None if block.first else Convolution(block.conv0, dtype, 1.0)
        self.conv1 = Convolution(block.conv1, dtype, gain)
        self.torgb = None if block.torgb is None else Colours(block.torgb, dtype, last)
        self.skip = None if block.skip is None else Skip(block.skip, dtype, gain)
        if block.first:
            self.register_buffer("const", block.const.to(dtype, copy=True)[None], persistent=False)
        self.register_buffer("image_filter", 4 * block.resample_filter.expand(3, 1, 4, 4), persistent=False)
        self.inputs = 2 * (1 if block.first else 2) + (block.torgb is not None)
        self.size = block.conv1.noise_const.numel() * len(block.conv1.weight) * dtype.itemsize

    def pieces(self, rows: Tensor) -> int:
        """How many parts a batch is cut into before this block; an accelerator takes it whole."""
        return min(len(rows), math.ceil(len(rows) * self.size / CACHE)) if rows.is_cpu else 1

    def codes(self, styles: Iterator[Tensor]) -> Iterator[Tensor]:
        """What :meth:`forward` takes, from the next ones of all styles."""
        if self.conv0 is not None:
            yield from self.conv0.codes(next(styles))
        yield from self.conv1.codes(next(styles))
        if self.torgb is not None:
            yield self.torgb.code(next(styles))

    def forward(self, x: Tensor | None, img: Tensor | None, *codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features and image from those at half the resolution."""
        x = self._features(x, codes)
        if img is not None:
            img = F.conv_transpose2d(img, self.image_filter, stride=2, padding=1, groups=3)
        if self.torgb is not None:
            rgb = self.torgb(x, codes[-1]).to(self.image_filter.dtype)
            img = rgb if img is None else img + rgb
        return x, img

    def _features(self, x: Tensor | None, codes: Sequence[Tensor]) -> Tensor:
        if self.conv0 is None:
            const = self.const.expand(len(codes[0]), -1, -1, -1)
            return self.conv1(const.clone(memory_format=torch.channels_last), codes[0], codes[1])
        if self.skip is None:
            return self.conv1(self.conv0(x, codes[0], codes[1]), codes[2], codes[3])
        shortcut = self.skip(x)  # first: the convolution changes x in place
        return shortcut + self.conv1(self.conv0(x, codes[0], codes[1]), codes[2], codes[3])


class Convolution(nn.Module):
    """A modulated convolution with noise, bias, leaky ReLU and clamp, its output times ``gain``."""

    weight: Tensor
    fir: Tensor
    norms: Tensor
    floor: Tensor

    def __init__(self, layer: SynthesisLayer, dtype: torch.dtype, gain: float) -> None:
        super().__init__()
        self.dtype, self.up, self.clamp = dtype, layer.up, layer.conv_clamp and layer.conv_clamp * gain
        weight, gain = cast(Tensor, layer.weight), GAIN * gain
        wide = min(weight.shape[:2]) >= WIDE and len(layer.noise_const) >= LARGE
        self.winograd = wide and not self.up and weight.is_cpu and dtype.itemsize >= 4
        # scale = gain · bound / sqrt(Σ s²·W² + ε): gain and bound go under the root.
        bound = weight_bound(weight) if dtype == torch.float16 else torch.ones_like(layer.bias)
        factor = (gain * bound).square()
        self.register_buffer("norms", weight.square().sum(dim=(2, 3)) / factor[:, None], persistent=False)
        self.register_buffer("floor", EPSILON / factor, persistent=False)
        weight = (weight / bound[:, None, None, None]).to(dtype)
        if self.up:
            weight = weight.transpose(0, 1)  # as transposed convolutions have it
            fir = (4 * layer.resample_filter).to(dtype)
            self.register_buffer("fir", fir.expand(len(layer.bias), 1, 4, 4).contiguous(), persistent=False)
        if self.winograd:
            self.register_buffer("weight", winograd_weight(weight), persistent=False)
        else:
            self.register_buffer(
                "weight", weight.contiguous(memory_format=torch.channels_last), persistent=False
            )
        self._keep_shifts(gain * layer.bias[:, None, None], gain * layer.noise_strength * layer.noise_const)

    def _keep_shifts(self, bias: Tensor, noise: Tensor) -> None:
        """Bias and noise as one addend where it is small, as two where it would fill the memory."""
        small = bias.numel() * noise.numel() * self.dtype.itemsize <= CACHE
        shifts = [bias + noise] if small else [bias, noise[None]]
        self.shifts = len(shifts)
        for i, shift in enumerate(shifts):
            shift = shift.to(self.dtype)[None].contiguous(memory_format=torch.channels_last)
            self.register_buffer(f"shift{i}", shift, persistent=False)

    def codes(self, style: Tensor) -> tuple[Tensor, Tensor]:
        """Style and demodulation, ready for use; section 2.2 of the paper."""
        scale = torch.addmm(self.floor, style.square(), self.norms.t()).rsqrt()
        if self.dtype == torch.float16:
            peak = style_peak(style)
            style, scale = style / peak, scale * peak
        return _channels(style.to(self.dtype)), _channels(scale.to(self.dtype))

    def forward(self, x: Tensor, style: Tensor, scale: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, out_channels, H or 2H, W or 2W]``; ``x`` is used up."""
        x = _times(x, style)
        if self.up:
            x = F.conv_transpose2d(x, self.weight, stride=2)
            x = F.conv2d(x, self.fir, padding=1, groups=len(self.fir))
        else:
            x = winograd_conv(x, self.weight) if self.winograd else F.conv2d(x, self.weight, padding=1)
        if self.dtype == torch.float16:  # one rounding instead of two
            x = torch.addcmul(self.get_buffer("shift0"), x, scale)
        else:  # bfloat16, whose fused form is slow on a CPU
            x = _times(x, scale).add_(self.get_buffer("shift0"))
        x = x if self.shifts == 1 else x.add_(self.get_buffer("shift1"))
        x = F.leaky_relu_(x, SLOPE)
        return x if self.clamp is None else _clamp(x, self.clamp)


class Colours(nn.Module):
    """Projection to three colours; ``last`` says that nothing needs its input any more."""

    weight: Tensor
    bias: Tensor

    def __init__(self, layer: ToRGB, dtype: torch.dtype, last: bool) -> None:
        super().__init__()
        self.dtype, self.clamp, self.last = dtype, layer.conv_clamp, last
        weight = layer.weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.register_buffer("weight", weight.clone(), persistent=False)
        self.register_buffer("bias", layer.bias.to(dtype).clone(), persistent=False)

    def code(self, style: Tensor) -> Tensor:
        """The style, ready for use."""
        return _channels(style.to(self.dtype))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, 3, H, W]``."""
        x = _times(x, style) if self.last else x * style
        rgb = F.conv2d(x, self.weight, self.bias)
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)


class Skip(nn.Module):
    """The way around the convolutions of a residual block."""

    weight: Tensor
    fir: Tensor

    def __init__(self, layer: Shortcut, dtype: torch.dtype, gain: float) -> None:
        super().__init__()
        weight = (layer.weight * (layer.weight_gain * gain)).to(dtype)
        self.register_buffer("weight", weight.contiguous(memory_format=torch.channels_last), persistent=False)
        fir = (4 * layer.resample_filter).to(dtype).expand(len(weight), 1, 4, 4)
        self.register_buffer("fir", fir.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, out_channels, 2H, 2W]``."""
        x = F.conv2d(x, self.weight)
        return F.conv_transpose2d(x, self.fir, stride=2, padding=1, groups=len(self.fir))


def _channels(code: Tensor) -> Tensor:
    return code[:, :, None, None]


def _times(x: Tensor, factor: Tensor) -> Tensor:
    """In place where no gradient is recorded; otherwise the backward pass needs x as it is."""
    return x * factor if torch.is_grad_enabled() else x.mul_(factor)


def _clamp(x: Tensor, bound: float) -> Tensor:
    return x.clamp(-bound, bound) if torch.is_grad_enabled() else x.clamp_(-bound, bound)
