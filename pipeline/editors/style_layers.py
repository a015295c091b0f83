"""Which of a generator's style inputs an edit changes: ranges of layers, one for each attribute.

Ranges count in the 18 inputs of a StyleGAN2 of 1024 pixels, as the literature does, and are scaled to any
other generator.

References:
    Abdal, Zhu, Mitra, Wonka: StyleFlow: attribute-conditioned exploration of StyleGAN-generated images using
    conditional continuous normalizing flows, arXiv 2008.02401, on the subsets of layers for single edits.
"""

from __future__ import annotations

__all__ = ["StyleLayers", "layer_runs", "layer_slice", "require_layers"]

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from pipeline.sections import SectionError

PLACES = 18

StyleLayers = Mapping[str, tuple[int, int]]
"""The first and the last style input, of 18 from 0 on, for each attribute whose edits are restricted."""


def require_layers(style_layers: StyleLayers) -> None:
    """Refuse what is no range of the 18 inputs.

    Raises:
        SectionError: naming the first attribute with such a range.
    """
    for name, places in style_layers.items():
        if len(places) != 2 or not 0 <= places[0] <= places[1] < PLACES:
            raise SectionError(
                f"style_layers.{name}",
                f"expected the first and the last of {PLACES} style inputs, [0, 0] to [0, {PLACES - 1}], got "
                f"{list(places)}",
            )


def layer_slice(places: tuple[int, int], num_ws: int) -> slice:
    """Every style input, of ``num_ws``, that a range of 18 has a share in: at least one.

    Example:
        >>> layer_slice((4, 7), num_ws=18), layer_slice((4, 7), num_ws=10), layer_slice((2, 3), num_ws=4)
        (slice(4, 8, None), slice(2, 5, None), slice(0, 1, None))
    """
    first, last = places
    return slice(first * num_ws // PLACES, -(-(last + 1) * num_ws // PLACES))


def layer_runs(ws: Tensor) -> tuple[Tensor, Tensor]:
    """Neighbouring layers of ``ws [N, L, w_dim]`` that are equal in every row, as R runs.

    Returns:
        The first layer of each run ``[R]``, and the run of each layer ``[L]``.
    """
    starts = F.pad((ws[:, 1:] != ws[:, :-1]).any(dim=2).any(dim=0), (1, 0), value=True)
    return starts.nonzero()[:, 0], starts.cumsum(0) - 1
