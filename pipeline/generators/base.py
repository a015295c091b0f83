"""What the pipeline asks of a generator."""

from __future__ import annotations

__all__ = ["Generator", "Synthesis", "per_layer"]

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.errors import PipelineError

NoiseMode = Literal["const", "random", "none"]

Synthesis = Callable[[Tensor], Tensor]
"""From style vectors ``[N, w_dim]``, or ``ws [N, num_ws, w_dim]``, to images ``[N, 3, H, W]``."""


def per_layer(w: Tensor, num_ws: int) -> Tensor:
    """Styles ``[N, num_ws, w_dim]``: ``w [N, w_dim]`` for every layer, per-layer styles as they are."""
    return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, num_ws, -1)


def no_image_at(resolution: int | None, generator: Generator) -> PipelineError:
    """What is wrong with a resolution that a generator has no image of."""
    full = generator.img_resolution
    return PipelineError(
        f"expected a generator with images of {resolution} pixels on the way to {full}, got one without: set "
        "image_resolution to 0, for whole images"
    )


class Generator(nn.Module, ABC):
    """A frozen, pre-trained generator with a style space.

    ``z [N, z_dim]`` → :meth:`mapping` → ``w [N, w_dim]`` → :meth:`broadcast` → ``ws [N, num_ws, w_dim]`` →
    :meth:`synthesis` → ``img [N, 3, H, W]`` in [-1, 1] (values may overshoot a little).

    Attributes:
        z_dim: width of the input noise.
        c_dim: number of classes; 0 for an unconditional generator.
        w_dim: width of the style vector.
        num_ws: number of style inputs of the synthesis network.
        img_resolution: height and width of the images, in pixels.
        bounded: whether activations are kept within half precision's range.
    """

    z_dim: int
    c_dim: int = 0
    w_dim: int
    num_ws: int
    img_resolution: int
    bounded: bool = False

    @abstractmethod
    def mapping(self, z: Tensor, truncation_psi: float = 1.0, c: Tensor | None = None) -> Tensor:
        """Style vectors ``[N, w_dim]`` of noise ``[N, z_dim]``; ``truncation_psi`` < 1 nears their mean.

        A conditional generator needs class labels ``c [N, c_dim]``, one-hot; any other refuses them.
        """

    @abstractmethod
    def synthesis(self, ws: Tensor, noise_mode: NoiseMode = "const") -> Tensor:
        """Images ``[N, 3, H, W]`` in [-1, 1] of per-layer styles ``[N, num_ws, w_dim]``."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture`` and the constructor arguments."""

    def broadcast(self, w: Tensor) -> Tensor:
        """One style for every layer, ``[N, num_ws, w_dim]``; see :func:`per_layer`."""
        return per_layer(w, self.num_ws)

    def synthesize(self, w: Tensor) -> Tensor:
        """Images ``[N, 3, H, W]`` of styles ``[N, w_dim]`` or ``[N, num_ws, w_dim]``, noise constant."""
        return self.synthesis(self.broadcast(w))

    def prepare(self, dtype: torch.dtype = torch.float32, resolution: int | None = None) -> Synthesis:
        """:meth:`synthesize` for many calls: whatever depends on the weights alone is done once, here.

        What is returned takes style vectors and per-layer styles, is differentiable in them, not in the
        weights, and does not follow later changes of the weights.

        Arguments:
            dtype: what features are computed in; styles and images stay in the weights' type.
            resolution: of smaller images, at a fraction of the cost, where the architecture can stop there.

        Raises:
            ValueError: for half precision, when activations are not kept within its range.
            PipelineError: when the generator has no image of that resolution.
        """
        if resolution not in (None, self.img_resolution):
            raise no_image_at(resolution, self)
        if dtype == torch.float16 and not self.bounded:
            raise ValueError("expected a bounded generator for half precision, got another: use bfloat16")

        def synthesize(w: Tensor) -> Tensor:
            with torch.autocast(w.device.type, dtype, enabled=dtype.itemsize < 4):
                return self.synthesize(w)

        return synthesize
