"""StyleGAN2: a mapping network and a synthesis network of modulated convolutions.

The style never touches the weights: activations are scaled by the style, convolved with weights that the
whole batch shares, and scaled by the demodulation coefficients, which is the same function (section 2.2 of
the paper) and one ordinary convolution. The up-sampling convolution (3×3 transposed, stride 2, then the
resampling filter) is computed as one ordinary 3×3 convolution to four times the channels, one group per
sub-pixel, and a pixel shuffle.

Tensor names and the scaling of stored weights are those of the official checkpoints: a fully-connected weight
counts times ``lr_multiplier / sqrt(fan_in)``, its bias times ``lr_multiplier``.

Under ``torch.autocast`` the blocks compute in its type; styles, demodulation, noise and the image that is
summed up stay in the weights' own.

References:
    Analyzing and Improving the Image Quality of StyleGAN (Karras et al., 2019),
    https://arxiv.org/abs/1912.04958
    Training Generative Adversarial Networks with Limited Data (Karras et al., 2020),
    https://arxiv.org/abs/2006.06676
"""

from __future__ import annotations

__all__ = ["ARCHITECTURE", "StyleGAN2"]

from collections.abc import Mapping
from typing import Any, cast, get_args

import torch
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.generators.base import Generator, NoiseMode, Synthesis, no_image_at
from pipeline.generators.networks import BlockArchitecture, MappingNetwork, SynthesisNetwork
from pipeline.generators.prepared import PreparedSynthesis

ARCHITECTURE = "stylegan2"


class StyleGAN2(Generator):
    """A StyleGAN2 generator.

    Arguments:
        z_dim: width of the input noise.
        c_dim: number of classes; 0 for an unconditional generator.
        w_dim: width of the style vector.
        num_layers: fully-connected layers of the mapping network.
        mapping_lr_multiplier: how slowly the mapping network learns (0.01 in the official networks, 1 is as
            fast as the rest).
        img_resolution: a power of two, at least 4.
        block_architecture: how blocks make the image (figure 7 of the first paper): ``skip`` adds up a tRGB
            of every block, ``orig`` has one at the end, ``resnet`` has one at the end and a shortcut around
            the convolutions of each block.
        channels: feature maps at each resolution from 4 on; ``None`` means
            ``min(channel_base // res, channel_max)``.
        channel_base: see ``channels``.
        channel_max: see ``channels``.
        conv_clamp: activations are clamped to ±this after each layer, which half precision needs; ``None``
            never clamps.

    Example:
        >>> G = StyleGAN2(z_dim=16, w_dim=32, num_layers=2, img_resolution=16, channel_max=8)
        >>> G.synthesize(G.mapping(torch.zeros(3, 16))).shape
        torch.Size([3, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        z_dim: int = 512,
        c_dim: int = 0,
        w_dim: int = 512,
        num_layers: int = 8,
        mapping_lr_multiplier: float = 0.01,
        img_resolution: int = 1024,
        block_architecture: BlockArchitecture = "skip",
        channels: Mapping[int, int] | None = None,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        resolutions = _resolutions(img_resolution)
        if block_architecture not in get_args(BlockArchitecture):
            raise PipelineError(
                f"expected block_architecture in {get_args(BlockArchitecture)}, got {block_architecture!r}"
            )
        if channels is None:
            channels = {res: min(channel_base // res, channel_max) for res in resolutions}
        if missing := [res for res in resolutions if res not in channels]:
            raise PipelineError(
                f"expected generator channels for {resolutions}, got none for {missing}: add them"
            )
        self.z_dim, self.c_dim, self.w_dim, self.img_resolution = z_dim, c_dim, w_dim, img_resolution
        self.block_architecture: BlockArchitecture = block_architecture
        self.num_layers, self.mapping_lr_multiplier = num_layers, mapping_lr_multiplier
        self.channels = {res: channels[res] for res in resolutions}
        self.conv_clamp, self.bounded = conv_clamp, conv_clamp is not None
        self.num_ws = 2 * len(resolutions)
        # Registered under the official names, which the methods `mapping` and `synthesis` also carry.
        self._modules["mapping"] = MappingNetwork(z_dim, c_dim, w_dim, num_layers, mapping_lr_multiplier)
        self._modules["synthesis"] = SynthesisNetwork(w_dim, self.channels, conv_clamp, block_architecture)

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
            "c_dim": self.c_dim,
            "w_dim": self.w_dim,
            "num_layers": self.num_layers,
            "mapping_lr_multiplier": self.mapping_lr_multiplier,
            "img_resolution": self.img_resolution,
            "block_architecture": self.block_architecture,
            "channels": {str(res): width for res, width in self.channels.items()},
            "conv_clamp": self.conv_clamp,
        }

    @property
    def w_avg(self) -> Tensor:
        """The mean style ``[w_dim]``, where truncation leads."""
        return cast(MappingNetwork, self._modules["mapping"]).w_avg

    def mapping(self, z: Tensor, truncation_psi: float = 1.0, c: Tensor | None = None) -> Tensor:
        """Styles ``[N, w_dim]`` of noise ``[N, z_dim]``, drawn to ``w_avg`` by ``1 - truncation_psi``.

        Arguments:
            z: the noise.
            truncation_psi: 1 is no truncation.
            c: class labels ``[N, c_dim]``, one-hot; of a conditional generator alone.
        """
        if (0 if c is None else c.shape[1]) != self.c_dim:
            got = "none" if c is None else list(c.shape)
            raise ValueError(f"expected class labels c of shape [N, {self.c_dim}], got {got}")
        w = cast(MappingNetwork, self._modules["mapping"])(z, c)
        return w if truncation_psi == 1.0 else torch.lerp(self.w_avg, w, truncation_psi)

    def synthesis(self, ws: Tensor, noise_mode: NoiseMode = "const", resolution: int | None = None) -> Tensor:
        """Images ``[N, 3, H, W]`` of per-layer styles ``[N, num_ws, w_dim]``.

        Arguments:
            ws: the styles.
            noise_mode: ``const`` (the stored noise), ``random`` (fresh noise, torch's generator) or ``none``.
            resolution: stop at this size, as the skip architecture allows; ``None`` means the full
                resolution.

        Raises:
            ValueError: for half precision without ``conv_clamp``, where activations leave its range.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            expected = f"[N, {self.num_ws}, {self.w_dim}]"
            raise ValueError(f"expected ws of shape {expected}, got {list(ws.shape)}: broadcast w first")
        if resolution and self.block_architecture != "skip":
            got = self.block_architecture
            raise ValueError(f"expected a skip generator, to stop at {resolution}, got {got!r}")
        dtype = _compute_dtype(ws)
        _check_range(dtype, self.bounded)
        network = cast(SynthesisNetwork, self._modules["synthesis"])
        with torch.autocast(ws.device.type, enabled=False):  # the network itself says what is computed how
            return network(ws, noise_mode, resolution or self.img_resolution, dtype)

    def prepare(self, dtype: torch.dtype = torch.float32, resolution: int | None = None) -> Synthesis:
        """Images of style vectors ``[N, w_dim]``, or of ``ws [N, num_ws, w_dim]``, with constant noise.

        See :class:`~pipeline.generators.prepared.PreparedSynthesis`; the skip architecture has images of
        every resolution.
        """
        _check_range(dtype, self.bounded)
        resolution = resolution or self.img_resolution
        has_image = resolution in self.channels and self.block_architecture == "skip"
        if not has_image and resolution != self.img_resolution:
            raise no_image_at(resolution, self)
        return PreparedSynthesis(cast(SynthesisNetwork, self._modules["synthesis"]), dtype, resolution)


def _check_range(dtype: torch.dtype, bounded: bool) -> None:
    if dtype == torch.float16 and not bounded:
        raise ValueError("expected conv_clamp for half precision, got a generator without: use bfloat16")


def _compute_dtype(ws: Tensor) -> torch.dtype:
    """Autocast's type where it is on, otherwise that of the styles."""
    kind = ws.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else ws.dtype


def _resolutions(img_resolution: int) -> list[int]:
    """4, 8, … up to ``img_resolution``."""
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise PipelineError(
            f"expected img_resolution to be a power of two of at least 4, got {img_resolution}"
        )
    return [2**i for i in range(2, img_resolution.bit_length())]
