"""The layers of StyleGAN2: fully connected, modulated convolution, projection to colours, shortcut.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
"""

from __future__ import annotations

__all__ = [
    "EPSILON",
    "GAIN",
    "SLOPE",
    "FullyConnected",
    "Shortcut",
    "SynthesisLayer",
    "ToRGB",
    "style_peak",
    "weight_bound",
]

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.generators.base import NoiseMode
from pipeline.generators.resampling import fir_filter, upsample_image, upsampling_conv

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
    """A modulated and demodulated 3×3 convolution, up-sampling or not; noise, bias, leaky ReLU and clamp.

    It computes in the type of its input; style, demodulation, noise and bias stay in the weights' own.
    """

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

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode, gain: float = 1.0) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, out_channels, H or 2H, W or 2W]``, times ``gain``."""
        style, weight = self.affine(w), cast(Tensor, self.weight)
        # Equation 3: σ_o = ‖s · W_o‖ over inputs and kernel, so only sums of squared weights are needed.
        sigma2 = style.square() @ weight.square().sum(dim=(2, 3)).t()
        # leaky_relu(gain · x) = gain · leaky_relu(x): the gain rides along with scale and shift.
        scale = GAIN * gain * (sigma2 + EPSILON).rsqrt()
        if x.dtype == torch.float16:
            style, weight, scale = _within_half(style, weight, scale)
        x = self._convolve(x * style.to(x.dtype)[:, :, None, None], weight)
        shift = (GAIN * gain * self._shift(x, noise_mode)).to(x.dtype)
        x = F.leaky_relu(torch.addcmul(shift, x, scale.to(x.dtype)[:, :, None, None]), SLOPE)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp * gain, self.conv_clamp * gain)

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if self.up:
            return upsampling_conv(x, weight, self.resample_filter)
        return F.conv2d(x, weight.to(x.dtype), padding=1)

    def _shift(self, x: Tensor, noise_mode: NoiseMode) -> Tensor:
        """Bias and noise, in a shape that broadcasts to ``x``."""
        bias = self.bias[:, None, None]
        if noise_mode == "none":
            return bias
        if noise_mode == "const":
            return bias + self.noise_const * self.noise_strength
        noise = torch.randn(len(x), 1, *x.shape[2:], dtype=bias.dtype, device=x.device)
        return bias + noise * self.noise_strength


def _within_half(style: Tensor, weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Style and weight brought to where no sum leaves half precision's range; the scale makes up for it.

    With styles of at most 1 and weights of at most ``1 / sqrt(fan_in)``, an input clamped to ±256 cannot give
    more than ``256 · sqrt(fan_in)``, 17,400 for 512 channels; half precision ends at 65,504.
    """
    peak, bound = style_peak(style), weight_bound(weight)
    return style / peak, weight / bound[:, None, None, None], scale * peak * bound


def style_peak(style: Tensor) -> Tensor:
    """What styles ``[N, in_channels]`` are divided by for half precision, ``[N, 1]``."""
    return style.abs().amax(dim=1, keepdim=True).clamp_min(EPSILON)


def weight_bound(weight: Tensor) -> Tensor:
    """What weights ``[O, I, k, k]`` are divided by for half precision, ``[O]``."""
    return weight.abs().amax(dim=(1, 2, 3)).clamp_min(EPSILON) * math.sqrt(weight[0].numel())


class ToRGB(nn.Module):
    """A modulated 1×1 convolution to three colours, not demodulated; computes in the type of its input."""

    def __init__(self, in_channels: int, w_dim: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.weight_gain, self.conv_clamp = 1.0 / math.sqrt(in_channels), conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, 3, H, W]``."""
        style = self.affine(w) * self.weight_gain
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        rgb = F.conv2d(x * style.to(x.dtype)[:, :, None, None], weight, bias)
        return rgb if self.conv_clamp is None else rgb.clamp(-self.conv_clamp, self.conv_clamp)


class Shortcut(nn.Module):
    """The skip path of a residual block: a 1×1 convolution, then up-sampling."""

    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.weight_gain = 1.0 / math.sqrt(in_channels)
        self.register_buffer("resample_filter", fir_filter())

    def forward(self, x: Tensor, gain: float) -> Tensor:
        """``[N, in_channels, H, W]`` → ``[N, out_channels, 2H, 2W]``, times ``gain``."""
        x = F.conv2d(x, (self.weight * (self.weight_gain * gain)).to(x.dtype))
        return upsample_image(x, self.resample_filter)
