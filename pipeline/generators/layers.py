"""The layers of StyleGAN2: fully connected, modulated convolution, modulated projection to colours.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
"""

from __future__ import annotations

__all__ = ["EPSILON", "GAIN", "SLOPE", "FullyConnected", "SynthesisLayer", "ToRGB"]

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.generators.base import NoiseMode
from pipeline.generators.resampling import fir_filter, upsampling_conv

SLOPE = 0.2
GAIN = math.sqrt(2.0)
EPSILON = 1e-8


class FullyConnected(nn.Module):
    """A linear layer whose stored weight, of variance ``1 / lr_multiplier²``, is scaled when it is used."""

    def __init__(
        self, in_features: int, out_features: int, lr_multiplier: float = 1.0, bias_init: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], bias_init))
        self.weight_gain, self.bias_gain = lr_multiplier / math.sqrt(in_features), lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """``[N, in_features]`` → ``[N, out_features]``."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class SynthesisLayer(nn.Module):
    """A modulated and demodulated 3×3 convolution, up-sampling or not; noise, bias, leaky ReLU and clamp."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, res: int, up: bool, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.up, self.conv_clamp = up, conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(res, res))
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, out_channels, H or 2H, W or 2W]``."""
        style = self.affine(w)
        # Equation 3: σ_o = ‖s · W_o‖ over inputs and kernel, so only sums of squared weights are needed.
        sigma2 = style.square() @ self.weight.square().sum(dim=(2, 3)).t()
        # leaky_relu(gain · x) = gain · leaky_relu(x): the gain rides along with scale and shift.
        scale = GAIN * (sigma2 + EPSILON).rsqrt()[:, :, None, None]
        x = x * style[:, :, None, None]
        x = self._convolve(x)
        x = F.leaky_relu(torch.addcmul(GAIN * self._shift(x, noise_mode), x, scale), SLOPE)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)

    def _convolve(self, x: Tensor) -> Tensor:
        if self.up:
            return upsampling_conv(x, self.weight, self.resample_filter)
        return F.conv2d(x, self.weight, padding=1)

    def _shift(self, x: Tensor, noise_mode: NoiseMode) -> Tensor:
        """Bias and noise, in a shape that broadcasts to ``x``."""
        bias = self.bias[:, None, None]
        if noise_mode == "none":
            return bias
        if noise_mode == "const":
            return bias + self.noise_const * self.noise_strength
        noise = torch.randn(len(x), 1, *x.shape[2:], dtype=x.dtype, device=x.device)
        return bias + noise * self.noise_strength


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to three colours, not demodulated."""

    def __init__(self, in_channels: int, w_dim: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain, self.conv_clamp = 1.0 / math.sqrt(in_channels), conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, 3, H, W]``."""
        style = self.affine(w) * self.weight_gain
        rgb = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return rgb if self.conv_clamp is None else rgb.clamp(-self.conv_clamp, self.conv_clamp)
