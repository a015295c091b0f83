"""From the names and shapes of a generator's tensors to the constructor arguments that they fit.

The shapes decide: what a file says about its architecture is checked against them, never believed, and what
comes out has been compared tensor by tensor with the network that the arguments make.
"""

from __future__ import annotations

__all__ = ["Network", "check_fit", "config_of", "fitting_generator", "no_network"]

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.generators.stylegan2 import ARCHITECTURE, StyleGAN2

WIDEST = 2**16  # of any layer, so that the number of its weights fits 64 bits
DEEPEST = 64  # mapping layers; the official networks have 2 to 8
BLOCK = re.compile(r"synthesis\.b([1-9][0-9]{0,4})\.conv1\.weight")
LAYER = re.compile(r"mapping\.fc[0-9]+\.weight")


@dataclass(frozen=True, slots=True)
class Network:
    """What the reader of a format hands over.

    Attributes:
        tensors: all tensors of the network under their official names.
        arguments: the constructor arguments that shapes do not show.
        source: what is worth telling about where they come from, plain JSON.
    """

    tensors: dict[str, Tensor]
    arguments: dict[str, Any]
    source: dict[str, Any]


def fitting_generator(tensors: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> StyleGAN2:
    """The generator, without memory for its weights, that the tensors fit.

    Arguments:
        tensors: all tensors under their official names.
        arguments: the constructor arguments that shapes do not show.

    Raises:
        PipelineError: naming the first tensor that does not fit.
    """
    with torch.device("meta"):
        generator = StyleGAN2.from_config({**config_of(tensors), **arguments})
    check_fit(generator, tensors)
    return generator


def config_of(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The arguments that the shapes show."""
    blocks = filter(None, map(BLOCK.fullmatch, tensors))
    channels = {int(block[1]): _width(tensors, block[0], 0) for block in blocks}
    w_dim = _width(tensors, "synthesis.b4.conv1.affine.weight", 1)
    c_dim = _width(tensors, "mapping.embed.weight", 1) if "mapping.embed.weight" in tensors else 0
    z_dim = _width(tensors, "mapping.fc0.weight", 1) - (w_dim if c_dim else 0)
    num_layers = sum(bool(LAYER.fullmatch(name)) for name in tensors)
    if z_dim < 1 or num_layers > DEEPEST:
        raise PipelineError(
            f"expected a latent z and at most {DEEPEST} mapping layers, got {z_dim} dimensions of z and "
            f"{num_layers} layers: the network is no StyleGAN2 generator"
        )
    return {
        "architecture": ARCHITECTURE,
        "z_dim": z_dim,
        "c_dim": c_dim,
        "w_dim": w_dim,
        "num_layers": num_layers,
        "img_resolution": max(channels, default=4),
        "channels": dict(sorted(channels.items())),
    }


def _width(tensors: Mapping[str, Tensor], name: str, dimension: int) -> int:
    """One size of one tensor, between 1 and what any layer could have.

    Raises:
        PipelineError: when the tensor is missing or of no such size.
    """
    shape = tuple(tensors[name].shape) if name in tensors else None
    if shape is None or len(shape) <= dimension or not 1 <= shape[dimension] <= WIDEST:
        raise PipelineError(
            f"expected a tensor {name} with 1 to {WIDEST} elements in dimension {dimension}, "
            f"got {shape or 'none'}: the network is no StyleGAN2 generator"
        )
    return shape[dimension]


def no_network(name: str, known: Iterable[str]) -> PipelineError:
    """What to raise when a file has no network of a name."""
    names = [other for other in known if len(other) <= 20][:20]
    hint = nearest_name(name, names) if names else "it holds none, is it a checkpoint?"
    return PipelineError(f"expected a network {name!r} in the file, got none of that name: {hint}")


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Compare tensors with those of a module.

    Raises:
        PipelineError: naming the first that is missing, of another shape, or too many.
    """
    expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise PipelineError(
                f"expected tensor {name[:80]} of shape {expected.get(name, 'absent')}, "
                f"got {found.get(name, 'absent')}: the network is not the StyleGAN2 that it looks like"
            )
