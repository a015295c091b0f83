"""The linear world with layers: an image shows the style of every layer, an editor changes some of them."""

from __future__ import annotations

from torch import nn

from pipeline.generators.base import Generator
from tests.linear_world import WIDTH, Mover, Reader

LAYERS = 6  # of 18: three places are one layer
RANGES = {"age": (3, 8), "smile": (6, 11), "moustache": (0, 0)}  # layers 1 and 2, 2 and 3; nobody's
SHARE = 2 / LAYERS  # of the layers, that an edit of age or smile changes


class Banded(Generator):
    """Rows 2 i and 2 i + 1 of the image are layer i, columns 2 j and 2 j + 1 coordinate j of its style."""

    z_dim, w_dim, num_ws, img_resolution = WIDTH, WIDTH, LAYERS, 2 * LAYERS

    def mapping(self, z, truncation_psi=1.0, c=None):
        return z

    def synthesis(self, ws, noise_mode="const"):
        image = (ws / 20).repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)
        return image[:, None].expand(-1, 3, -1, -1).contiguous()

    def config(self):
        return {}


class Turned(nn.Module):
    """A network of the linear world, where coordinates are rows: it reads their means over the layers."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.attributes, self.columns = Reader.attributes, Reader.columns

    def forward(self, img):
        return self.network(img.mT)


def restricted(**changes):
    """The linear world's editor, a unit of strength a unit of the coordinate, restricted to ``RANGES``."""
    editor = Mover(gain=1.0, **changes)
    editor.style_layers = RANGES
    return editor
