"""StyleGAN2: a mapping network and a synthesis network of modulated convolutions, skip architecture.

The style never touches the weights: activations are scaled by the style, convolved with weights that the whole batch
shares, and scaled by the demodulation coefficients, which is the same function (section 2.2 of the paper) and one
ordinary convolution. The up-sampling convolution (3×3 transposed, stride 2, then the [1, 3, 3, 1] filter) is computed as
one ordinary 3×3 convolution to four times the channels, one group per sub-pixel, and a pixel shuffle.

Tensor names and the scaling of stored weights are those of the official checkpoints: a fully-connected weight counts
times ``lr_multiplier / sqrt(fan_in)``, its bias times ``lr_multiplier``.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019), https://arxiv.org/abs/1912.04958
    Training Generative Adversarial Networks with Limited Data (Karras et al., 2020), https://arxiv.org/abs/2006.06676
"""

from __future__ import annotations

__all__ = ["ARCHITECTURE", "MappingNetwork", "StyleGAN2", "SynthesisNetwork"]

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.generators.base import Generator, NoiseMode

ARCHITECTURE = "stylegan2"

SLOPE = 0.2
GAIN = math.sqrt(2.0)
EPSILON = 1e-8


class StyleGAN2(Generator):
    """A StyleGAN2 generator, unconditional, skip architecture.

    Arguments:
        z_dim: width of the input noise.
        w_dim: width of the style vector.
        num_layers: fully-connected layers of the mapping network.
        mapping_lr_multiplier: how much slower than the rest the mapping network learns (0.01 in the official networks).
        img_resolution: a power of two, at least 8.
        channels: feature maps at each resolution, 4 included; ``None`` means ``min(channel_base // res, channel_max)``.
        channel_base: see ``channels``.
        channel_max: see ``channels``.
        conv_clamp: activations are clamped to ±this after each layer, which half precision needs; ``None`` never clamps.

    Deviations: no class label, no mixed precision inside.

    Example:
        >>> G = StyleGAN2(z_dim=16, w_dim=32, num_layers=2, img_resolution=16, channel_max=8)
        >>> G.synthesize(G.mapping(torch.zeros(3, 16))).shape
        torch.Size([3, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        num_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        img_resolution: int = 1024,
        channels: Mapping[int, int] | None = None,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        resolutions = _resolutions(img_resolution)
        if channels is None:
            channels = {res: min(channel_base // res, channel_max) for res in resolutions}
        if missing := [res for res in resolutions if res not in channels]:
            raise PipelineError(
                f"expected generator channels for {resolutions}, got none for {missing}: add them"
            )
        self.z_dim, self.w_dim, self.img_resolution = z_dim, w_dim, img_resolution
        self.num_layers, self.mapping_lr_multiplier = num_layers, mapping_lr_multiplier
        self.channels = {res: channels[res] for res in resolutions}
        self.conv_clamp = conv_clamp
        self.num_ws = 2 * len(resolutions)
        # Registered under the official names, which the methods `mapping` and `synthesis` also carry.
        self._modules["mapping"] = MappingNetwork(z_dim, w_dim, num_layers, mapping_lr_multiplier)
        self._modules["synthesis"] = SynthesisNetwork(w_dim, self.channels, conv_clamp)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> StyleGAN2:
        """A generator with fresh weights from what :meth:`config` returned, JSON's text keys included.

        Raises:
            PipelineError: when an argument is unknown or another architecture is asked for.
        """
        arguments = dict(config)
        if (found := arguments.pop("architecture", None)) != ARCHITECTURE:
            raise PipelineError(
                f"expected architecture {ARCHITECTURE!r}, got {found!r}: read it with load_generator"
            )
        try:
            arguments["channels"] = {int(res): int(width) for res, width in arguments["channels"].items()}
            return cls(**arguments)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PipelineError(
                f"expected the arguments of {ARCHITECTURE!r} in config.json, got {config}: {error}"
            ) from error

    def config(self) -> dict[str, Any]:
        """The constructor arguments and ``architecture``, ready for JSON."""
        return {
            "architecture": ARCHITECTURE,
            "z_dim": self.z_dim,
            "w_dim": self.w_dim,
            "num_layers": self.num_layers,
            "mapping_lr_multiplier": self.mapping_lr_multiplier,
            "img_resolution": self.img_resolution,
            "channels": {str(res): width for res, width in self.channels.items()},
            "conv_clamp": self.conv_clamp,
        }

    @property
    def w_avg(self) -> Tensor:
        """The mean style ``[w_dim]``, where truncation leads."""
        return cast(MappingNetwork, self._modules["mapping"]).w_avg

    def mapping(self, z: Tensor, truncation_psi: float = 1.0) -> Tensor:
        """Style vectors ``[N, w_dim]`` of noise ``[N, z_dim]``, drawn toward ``w_avg`` by ``1 - truncation_psi``."""
        w = cast(MappingNetwork, self._modules["mapping"])(z)
        return w if truncation_psi == 1.0 else torch.lerp(self.w_avg, w, truncation_psi)

    def synthesis(self, ws: Tensor, noise_mode: NoiseMode = "const", resolution: int | None = None) -> Tensor:
        """Images ``[N, 3, H, W]`` of per-layer styles ``[N, num_ws, w_dim]``.

        Arguments:
            ws: the styles.
            noise_mode: ``const`` (the stored noise), ``random`` (fresh noise, torch's generator) or ``none``.
            resolution: stop at this size, as the skip architecture allows; ``None`` means the full resolution.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(
                f"expected ws of shape [N, {self.num_ws}, {self.w_dim}], got {list(ws.shape)}: broadcast w first"
            )
        return cast(SynthesisNetwork, self._modules["synthesis"])(
            ws, noise_mode, resolution or self.img_resolution
        )


class MappingNetwork(nn.Module):
    """``z [N, z_dim]`` → ``w [N, w_dim]``: noise on the sphere of radius √z_dim, then leaky fully-connected layers."""

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, num_layers: int, lr_multiplier: float) -> None:
        super().__init__()
        for i in range(num_layers):
            self.add_module(f"fc{i}", FullyConnected(w_dim if i else z_dim, w_dim, lr_multiplier))
        self.num_layers = num_layers
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z: Tensor) -> Tensor:
        """Style vectors of ``z``, not truncated."""
        x = z * z.square().mean(dim=1, keepdim=True).add(EPSILON).rsqrt()
        for i in range(self.num_layers):
            x = F.leaky_relu(self.get_submodule(f"fc{i}")(x), SLOPE) * GAIN
        return x


class SynthesisNetwork(nn.Module):
    """``ws [N, num_ws, w_dim]`` → ``img [N, 3, H, W]``: blocks that double the resolution, each adding to the image."""

    def __init__(self, w_dim: int, channels: Mapping[int, int], conv_clamp: float | None) -> None:
        super().__init__()
        self.resolutions = sorted(channels)
        for res in self.resolutions:
            self.add_module(
                f"b{res}", SynthesisBlock(channels.get(res // 2), channels[res], w_dim, res, conv_clamp)
            )

    def forward(self, ws: Tensor, noise_mode: NoiseMode, resolution: int) -> Tensor:
        """The image of the block ``resolution``."""
        x = img = None
        for i, res in enumerate(r for r in self.resolutions if r <= resolution):
            # Block i has convolutions 2i-1 and 2i (the first block has no up-convolution); its tRGB shares the next style.
            x, img = self.get_submodule(f"b{res}")(
                x, img, ws[:, max(2 * i - 1, 0) : 2 * i + 2].unbind(1), noise_mode
            )
        return cast(Tensor, img)


class SynthesisBlock(nn.Module):
    """One resolution: up-convolution (or the learned constant), convolution, tRGB added to the up-sampled image."""

    resample_filter: Tensor

    def __init__(
        self, in_channels: int | None, channels: int, w_dim: int, res: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", fir_filter())
        self.first = in_channels is None
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(channels, res, res))
        else:
            self.conv0 = SynthesisLayer(in_channels, channels, w_dim, res, up=True, conv_clamp=conv_clamp)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, res, up=False, conv_clamp=conv_clamp)
        self.torgb = ToRGB(channels, w_dim, conv_clamp)

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: tuple[Tensor, ...], noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor]:
        """Features and image at this resolution from those at half of it; one style per convolution, one for tRGB."""
        if x is None or img is None:
            # Channels last is what the convolutions of a CPU (and tensor cores) run fastest on.
            x = self.const.expand(len(ws[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, ws[0], noise_mode)
            return x, self.torgb(x, ws[1])
        x = self.conv1(self.conv0(x, ws[0], noise_mode), ws[1], noise_mode)
        return x, upsample_image(img, self.resample_filter) + self.torgb(x, ws[2])


class FullyConnected(nn.Module):
    """A linear layer whose stored weight has unit variance (over ``lr_multiplier``) and is scaled when it is used."""

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
    """A modulated and demodulated 3×3 convolution, up-sampling or not, with noise, bias, leaky ReLU and clamp."""

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
        # Equation 3: σ'_o = ‖s · W_o‖ over inputs and kernel, so demodulation needs only the squared weights' sums.
        sigma2 = style.square() @ self.weight.square().sum(dim=(2, 3)).t()
        # leaky_relu(gain · x) = gain · leaky_relu(x): the activation's gain rides along with the scale and the shift.
        scale = GAIN * (sigma2 + EPSILON).rsqrt()[:, :, None, None]
        x = x * style[:, :, None, None]
        x = (
            upsampling_conv(x, self.weight, self.resample_filter)
            if self.up
            else F.conv2d(x, self.weight, padding=1)
        )
        x = F.leaky_relu(torch.addcmul(GAIN * self._shift(x, noise_mode), x, scale), SLOPE)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)

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


def fir_filter() -> Tensor:
    """The 4×4 resampling filter: the outer product of [1, 3, 3, 1] with itself, of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 64.0


def subpixel_basis(fir: Tensor) -> Tensor:
    """How each tap of a 3×3 kernel contributes to the four 3×3 kernels of its up-sampling convolution: ``[9, 4, 9]``.

    Transposed convolution of stride 2 and filtering with padding 1 commute into one transposed convolution with the 6×6
    kernel ``K = W * 4·fir``. Its output pixel (2i+a, 2j+b) sees only the taps ``K[a::2, b::2]``, in reverse order.
    """
    taps = torch.eye(9, dtype=fir.dtype, device=fir.device).view(9, 1, 3, 3)
    kernel = F.conv2d(taps, 4.0 * fir[None, None], padding=3).view(9, 3, 2, 3, 2)
    return kernel.permute(0, 2, 4, 1, 3).flip(3, 4).reshape(9, 4, 9)


def upsampling_conv(x: Tensor, weight: Tensor, fir: Tensor) -> Tensor:
    """Transposed convolution of stride 2, then the filter with gain 4: ``[N, I, H, W]`` → ``[N, O, 2H, 2W]``."""
    out_channels, in_channels = weight.shape[:2]
    kernels = torch.tensordot(
        weight.view(out_channels, in_channels, 9), subpixel_basis(fir), dims=1
    )  # [O, I, 4, 9]
    kernels = kernels.permute(2, 0, 1, 3).reshape(4 * out_channels, in_channels, 3, 3)
    y = F.conv2d(x, kernels.contiguous(memory_format=torch.channels_last), padding=1)
    return interleave(y, out_channels)


def upsample_image(img: Tensor, fir: Tensor) -> Tensor:
    """Twice the resolution: zeros between the pixels, then the filter with gain 4. ``[N, C, H, W]`` → ``[N, C, 2H, 2W]``."""
    n, channels, height, width = img.shape
    delta = subpixel_basis(fir)[4].view(4, 1, 3, 3)
    y = F.conv2d(img.reshape(n * channels, 1, height, width), delta, padding=1)
    return F.pixel_shuffle(y, 2).view(n, channels, 2 * height, 2 * width)


def interleave(x: Tensor, channels: int) -> Tensor:
    """Sub-pixel groups ``[N, 2·2·C, H, W]`` to pixels ``[N, C, 2H, 2W]``, channels last in memory.

    A pixel shuffle whose channel comes last, so that whole pixels are moved instead of single numbers.
    """
    n, _, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, height, width, 2, 2, channels).permute(0, 1, 3, 2, 4, 5)
    return x.reshape(n, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def _resolutions(img_resolution: int) -> list[int]:
    """4, 8, … up to ``img_resolution``."""
    if img_resolution < 8 or img_resolution & (img_resolution - 1):
        raise PipelineError(
            f"expected img_resolution to be a power of two of at least 8, got {img_resolution}"
        )
    return [2**i for i in range(2, img_resolution.bit_length())]
