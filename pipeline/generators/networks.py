"""The two networks of StyleGAN2: mapping, and synthesis out of blocks that double the resolution.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
"""

from __future__ import annotations

__all__ = ["BlockArchitecture", "MappingNetwork", "SynthesisNetwork"]

import math
from collections.abc import Mapping
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.generators.base import NoiseMode
from pipeline.generators.layers import EPSILON, GAIN, SLOPE, FullyConnected, Shortcut, SynthesisLayer, ToRGB
from pipeline.generators.resampling import fir_filter, upsample_image

HALF = math.sqrt(0.5)  # gain of either path of a residual block, so that their sum keeps its variance

BlockArchitecture = Literal["skip", "resnet", "orig"]


class MappingNetwork(nn.Module):
    """``z [N, z_dim]`` → ``w [N, w_dim]``: onto the sphere, then leaky fully-connected layers.

    With classes, their embedding goes onto a sphere, too, and beside z into the first layer.
    """

    w_avg: Tensor

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_layers: int, lr_multiplier: float) -> None:
        super().__init__()
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        inputs = z_dim + (w_dim if c_dim else 0)
        for i in range(num_layers):
            self.add_module(f"fc{i}", FullyConnected(w_dim if i else inputs, w_dim, lr_multiplier))
        self.num_layers = num_layers
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Style vectors of ``z`` and class labels ``c [N, c_dim]``, not truncated."""
        x = _on_sphere(z)
        if c is not None:
            x = torch.cat([x, _on_sphere(self.embed(c))], dim=1)
        for i in range(self.num_layers):
            x = F.leaky_relu(self.get_submodule(f"fc{i}")(x), SLOPE) * GAIN
        return x


class SynthesisNetwork(nn.Module):
    """``ws [N, num_ws, w_dim]`` → ``img [N, 3, H, W]``: blocks that double the resolution of one image."""

    def __init__(
        self,
        w_dim: int,
        channels: Mapping[int, int],
        conv_clamp: float | None,
        architecture: BlockArchitecture,
    ) -> None:
        super().__init__()
        self.resolutions = sorted(channels)
        for res in self.resolutions:
            block = SynthesisBlock(
                channels.get(res // 2),
                channels[res],
                w_dim,
                res,
                conv_clamp,
                to_rgb=architecture == "skip" or res == self.resolutions[-1],
                shortcut=architecture == "resnet",
            )
            self.add_module(f"b{res}", block)

    def forward(self, ws: Tensor, noise_mode: NoiseMode, resolution: int, dtype: torch.dtype) -> Tensor:
        """The image of the block ``resolution``, features in ``dtype``."""
        x = img = None
        for i, res in enumerate(r for r in self.resolutions if r <= resolution):
            # Block i has convolutions 2i-1 and 2i (the first only 2i); its tRGB shares the next style.
            styles = ws[:, max(2 * i - 1, 0) : 2 * i + 2].unbind(1)
            x, img = self.get_submodule(f"b{res}")(x, img, styles, noise_mode, dtype)
        return cast(Tensor, img)


class SynthesisBlock(nn.Module):
    """One resolution: up-convolution (or the learned constant), convolution, tRGB on the up-sampled image."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int | None,
        channels: int,
        w_dim: int,
        res: int,
        conv_clamp: float | None,
        to_rgb: bool,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.first = in_channels is None
        self.register_buffer("resample_filter", fir_filter())
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(channels, res, res))
        else:
            self.conv0 = SynthesisLayer(in_channels, channels, w_dim, res, up=True, conv_clamp=conv_clamp)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, res, up=False, conv_clamp=conv_clamp)
        self.torgb = ToRGB(channels, w_dim, conv_clamp) if to_rgb else None
        self.skip = Shortcut(in_channels, channels) if shortcut and in_channels is not None else None

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: tuple[Tensor, ...],
        noise_mode: NoiseMode,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        """Features and image from those at half the resolution; one style per convolution, one for tRGB."""
        x = self._features(x, ws, noise_mode, dtype)
        if img is not None:
            img = upsample_image(img, self.resample_filter)
        if self.torgb is not None:
            rgb = self.torgb(x, ws[-1]).to(ws[-1].dtype)
            img = rgb if img is None else img + rgb
        return x, img

    def _features(
        self, x: Tensor | None, ws: tuple[Tensor, ...], noise_mode: NoiseMode, dtype: torch.dtype
    ) -> Tensor:
        if x is None:
            # Channels last is what the convolutions of a CPU (and tensor cores) run fastest on.
            x = self.const.to(dtype).expand(len(ws[0]), -1, -1, -1)
            return self.conv1(x.contiguous(memory_format=torch.channels_last), ws[0], noise_mode)
        if self.skip is None:
            return self.conv1(self.conv0(x, ws[0], noise_mode), ws[1], noise_mode)
        return self.skip(x, HALF) + self.conv1(self.conv0(x, ws[0], noise_mode), ws[1], noise_mode, HALF)


def _on_sphere(x: Tensor) -> Tensor:
    """Rows ``[N, D]`` divided by their root mean square."""
    return x * x.square().mean(dim=1, keepdim=True).add(EPSILON).rsqrt()
