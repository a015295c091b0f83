"""What the pipeline asks of a generator."""

from __future__ import annotations

__all__ = ["Generator"]

from abc import ABC, abstractmethod
from typing import Any, Literal

from torch import Tensor, nn

NoiseMode = Literal["const", "random", "none"]


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
        """One style for every layer: ``[N, w_dim]`` → ``[N, num_ws, w_dim]``."""
        return w.unsqueeze(1).expand(-1, self.num_ws, -1)

    def synthesize(self, w: Tensor) -> Tensor:
        """Images ``[N, 3, H, W]`` of style vectors ``[N, w_dim]``, noise constant."""
        return self.synthesis(self.broadcast(w))
