"""StyleGAN2: a mapping network and a synthesis network of modulated convolutions, skip architecture.

The style never touches the weights: activations are scaled by the style, convolved with weights that the
whole batch shares, and scaled by the demodulation coefficients, which is the same function (section 2.2 of
the paper) and one ordinary convolution. The up-sampling convolution (3×3 transposed, stride 2, then the
resampling filter) is computed as one ordinary 3×3 convolution to four times the channels, one group per
sub-pixel, and a pixel shuffle.

Tensor names and the scaling of stored weights are those of the official checkpoints: a fully-connected weight
counts times ``lr_multiplier / sqrt(fan_in)``, its bias times ``lr_multiplier``.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
    Training Generative Adversarial Networks with Limited Data (Karras et al., 2020),
    https://arxiv.org/abs/2006.06676
"""

from __future__ import annotations

__all__ = ["ARCHITECTURE", "MappingNetwork", "StyleGAN2", "SynthesisNetwork"]

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.generators.base import Generator, NoiseMode
from pipeline.generators.layers import EPSILON, GAIN, SLOPE, FullyConnected, SynthesisLayer, ToRGB
from pipeline.generators.resampling import fir_filter, upsample_image

ARCHITECTURE = "stylegan2"


class StyleGAN2(Generator):
    """A StyleGAN2 generator, unconditional, skip architecture.

    Arguments:
        z_dim: width of the input noise.
        w_dim: width of the style vector.
        num_layers: fully-connected layers of the mapping network.
        mapping_lr_multiplier: how slowly the mapping network learns (0.01 in the official networks, 1 is as
            fast as the rest).
        img_resolution: a power of two, at least 8.
        channels: feature maps at each resolution from 4 on; ``None`` means
            ``min(channel_base // res, channel_max)``.
        channel_base: see ``channels``.
        channel_max: see ``channels``.
        conv_clamp: activations are clamped to ±this after each layer, which half precision needs; ``None``
            never clamps.

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
        """Styles ``[N, w_dim]`` of noise ``[N, z_dim]``, drawn to ``w_avg`` by ``1 - truncation_psi``."""
        w = cast(MappingNetwork, self._modules["mapping"])(z)
        return w if truncation_psi == 1.0 else torch.lerp(self.w_avg, w, truncation_psi)

    def synthesis(self, ws: Tensor, noise_mode: NoiseMode = "const", resolution: int | None = None) -> Tensor:
        """Images ``[N, 3, H, W]`` of per-layer styles ``[N, num_ws, w_dim]``.

        Arguments:
            ws: the styles.
            noise_mode: ``const`` (the stored noise), ``random`` (fresh noise, torch's generator) or ``none``.
            resolution: stop at this size, as the skip architecture allows; ``None`` means the full
                resolution.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            expected = f"[N, {self.num_ws}, {self.w_dim}]"
            raise ValueError(f"expected ws of shape {expected}, got {list(ws.shape)}: broadcast w first")
        network = cast(SynthesisNetwork, self._modules["synthesis"])
        return network(ws, noise_mode, resolution or self.img_resolution)


class MappingNetwork(nn.Module):
    """``z [N, z_dim]`` → ``w [N, w_dim]``: onto the sphere, then leaky fully-connected layers."""

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
    """``ws [N, num_ws, w_dim]`` → ``img [N, 3, H, W]``: blocks that double the resolution of one image."""

    def __init__(self, w_dim: int, channels: Mapping[int, int], conv_clamp: float | None) -> None:
        super().__init__()
        self.resolutions = sorted(channels)
        for res in self.resolutions:
            block = SynthesisBlock(channels.get(res // 2), channels[res], w_dim, res, conv_clamp)
            self.add_module(f"b{res}", block)

    def forward(self, ws: Tensor, noise_mode: NoiseMode, resolution: int) -> Tensor:
        """The image of the block ``resolution``."""
        x = img = None
        for i, res in enumerate(r for r in self.resolutions if r <= resolution):
            # Block i has convolutions 2i-1 and 2i (the first only 2i); its tRGB shares the next style.
            styles = ws[:, max(2 * i - 1, 0) : 2 * i + 2].unbind(1)
            x, img = self.get_submodule(f"b{res}")(x, img, styles, noise_mode)
        return cast(Tensor, img)


class SynthesisBlock(nn.Module):
    """One resolution: up-convolution (or the learned constant), convolution, tRGB on the up-sampled image."""

    resample_filter: Tensor

    def __init__(
        self, in_channels: int | None, channels: int, w_dim: int, res: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", fir_filter())
        if in_channels is None:
            self.const = nn.Parameter(torch.randn(channels, res, res))
        else:
            self.conv0 = SynthesisLayer(in_channels, channels, w_dim, res, up=True, conv_clamp=conv_clamp)
        self.conv1 = SynthesisLayer(channels, channels, w_dim, res, up=False, conv_clamp=conv_clamp)
        self.torgb = ToRGB(channels, w_dim, conv_clamp)

    def forward(
        self, x: Tensor | None, img: Tensor | None, ws: tuple[Tensor, ...], noise_mode: NoiseMode
    ) -> tuple[Tensor, Tensor]:
        """Features and image from those at half the resolution; one style per convolution, one for tRGB."""
        if x is None or img is None:
            # Channels last is what the convolutions of a CPU (and tensor cores) run fastest on.
            x = self.const.expand(len(ws[0]), -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, ws[0], noise_mode)
            return x, self.torgb(x, ws[1])
        x = self.conv1(self.conv0(x, ws[0], noise_mode), ws[1], noise_mode)
        return x, upsample_image(img, self.resample_filter) + self.torgb(x, ws[2])


def _resolutions(img_resolution: int) -> list[int]:
    """4, 8, … up to ``img_resolution``."""
    if img_resolution < 8 or img_resolution & (img_resolution - 1):
        raise PipelineError(
            f"expected img_resolution to be a power of two of at least 8, got {img_resolution}"
        )
    return [2**i for i in range(2, img_resolution.bit_length())]
