"""Checkpoints of stylegan2-pytorch by rosinality: state dicts under other names and another scaling.

The generator is the same function: a modulated convolution there multiplies its stored weight by
``1 / sqrt(fan_in)`` before it modulates and demodulates, which here is done once and for all, so that the
epsilon of the demodulation counts the same; fully-connected layers and the projections to colours are scaled
when they are used in both.

References:
    https://github.com/rosinality/stylegan2-pytorch
"""

from __future__ import annotations

__all__ = ["read_rosinality"]

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.checkpoints.fitting import Network, check_fit, config_of, no_network
from pipeline.checkpoints.tensors import StorageOf, read_tensor
from pipeline.checkpoints.values import Budget, shown
from pipeline.errors import PipelineError
from pipeline.generators.networks import MappingNetwork
from pipeline.generators.resampling import fir_filter

NETWORKS = {"G_ema": "g_ema", "G": "g"}
NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")  # of a tensor
TENSORS = 2_000  # of one network; the largest have two hundred
LR_MULTIPLIER = 0.01
STYLES = 10_000  # whose mean replaces a missing latent_avg
PARTS = 10  # in which they are computed


def read_rosinality(content: object, storage_of: StorageOf, network: str, budget: Budget) -> Network:
    """One generator of a checkpoint.

    Arguments:
        content: what the checkpoint holds, a dict with ``g_ema`` and more.
        storage_of: finds the storages of its tensors.
        network: ``G_ema`` or ``G``.
        budget: what reading may cost.

    Raises:
        PipelineError: when there is no such network, or its tensors are not those of a generator.
    """
    content = content if isinstance(content, dict) else {}
    nodes = _choose(content, network)
    state = {name: read_tensor(node, name, storage_of, budget) for name, node in nodes.items()}
    tensors = _translate(state)
    source = {"format": "rosinality", "network": network, "class_name": "Generator", "tensors": len(nodes)}
    if content.get("latent_avg") is not None:
        w_avg = read_tensor(content["latent_avg"], "latent_avg", storage_of, budget)
        tensors["mapping.w_avg"] = w_avg if w_avg.dim() == 1 else w_avg.squeeze(0)
        source["w_avg"] = "latent_avg"
    else:
        tensors["mapping.w_avg"] = _mean_style(tensors)
        source["w_avg"] = f"mean of {STYLES} styles of noise with seed 0"
    arguments = {"mapping_lr_multiplier": LR_MULTIPLIER, "conv_clamp": None, "block_architecture": "skip"}
    return Network(tensors, arguments, source)


def _choose(content: dict[str, Any], network: str) -> dict[str, Any]:
    """The state dict of one network."""
    states = {name: content[key] for name, key in NETWORKS.items() if type(content.get(key)) is dict}
    if network not in states:
        raise no_network(network, states)
    state = states[network]
    if len(state) > TENSORS or not all(type(name) is str and NAME.fullmatch(name) for name in state):
        raise PipelineError(
            f"expected a state dict of at most {TENSORS} tensors with plain names, got another: "
            "it is no generator"
        )
    return state


def _translate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under their official names, scaled as those are; every one is used."""
    layers = sum(name.startswith("style.") and name.endswith(".weight") for name in state)
    blocks = sum(name.startswith("to_rgbs.") and name.endswith(".conv.weight") for name in state)
    rest, tensors = dict(state), {}
    for entry in _entries(layers, blocks):
        if entry.name not in rest:
            raise PipelineError(
                f"expected a tensor {entry.name}, got none: the state dict is not that of a generator"
            )
        tensors[entry.official] = entry.change(rest.pop(entry.name))
    for name in _kernels(blocks):
        if not torch.equal(rest.pop(name, fir_filter()), 4 * fir_filter()):
            raise PipelineError(
                f"expected 4 times the filter [1, 3, 3, 1] as {name}, got another: StyleGAN2 has no other"
            )
    if rest:
        raise PipelineError(
            f"expected the tensors of a generator, got {shown(min(rest))}, too: "
            "the checkpoint is of a changed architecture"
        )
    return tensors | {name: fir_filter() for name in _filters(blocks)}


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor's name there, its official name, and what has to be done to it."""

    name: str
    official: str
    change: Callable[[Tensor], Tensor]


def _entries(layers: int, blocks: int) -> Iterator[Entry]:
    """All tensors of a generator with so many mapping layers, and blocks above 4×4."""
    for i in range(layers):
        yield Entry(f"style.{i + 1}.weight", f"mapping.fc{i}.weight", _same)
        yield Entry(f"style.{i + 1}.bias", f"mapping.fc{i}.bias", _same)
    yield Entry("input.input", "synthesis.b4.const", _first)
    yield from _convolution("conv1", "synthesis.b4.conv1", "noises.noise_0")
    yield from _to_rgb("to_rgb1", "synthesis.b4.torgb")
    for i in range(blocks):
        block = f"synthesis.b{8 << i}"
        yield from _convolution(f"convs.{2 * i}", f"{block}.conv0", f"noises.noise_{2 * i + 1}")
        yield from _convolution(f"convs.{2 * i + 1}", f"{block}.conv1", f"noises.noise_{2 * i + 2}")
        yield from _to_rgb(f"to_rgbs.{i}", f"{block}.torgb")


def _convolution(name: str, official: str, noise: str) -> Iterator[Entry]:
    yield Entry(f"{name}.conv.weight", f"{official}.weight", _scaled)
    yield Entry(f"{name}.conv.modulation.weight", f"{official}.affine.weight", _same)
    yield Entry(f"{name}.conv.modulation.bias", f"{official}.affine.bias", _same)
    yield Entry(f"{name}.noise.weight", f"{official}.noise_strength", _first)
    yield Entry(f"{name}.activate.bias", f"{official}.bias", _same)
    yield Entry(noise, f"{official}.noise_const", lambda t: _first(_first(t)))


def _to_rgb(name: str, official: str) -> Iterator[Entry]:
    yield Entry(f"{name}.conv.weight", f"{official}.weight", _first)
    yield Entry(f"{name}.conv.modulation.weight", f"{official}.affine.weight", _same)
    yield Entry(f"{name}.conv.modulation.bias", f"{official}.affine.bias", _same)
    yield Entry(f"{name}.bias", f"{official}.bias", lambda t: _first(t).squeeze(-1).squeeze(-1))


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _first(tensor: Tensor) -> Tensor:
    """``[1, …]`` → ``[…]``."""
    return tensor.squeeze(0)


def _scaled(tensor: Tensor) -> Tensor:
    """``[1, O, I, k, k]`` → ``[O, I, k, k]``, divided by the root of the fan-in, rounded once."""
    weight = _first(tensor)
    return (weight.double() / math.sqrt(math.prod(weight.shape[1:]))).float()


def _kernels(blocks: int) -> list[str]:
    """The names of the filters, of gain 4, in the state dict."""
    convolutions = [f"convs.{2 * i}.conv.blur.kernel" for i in range(blocks)]
    return convolutions + [f"to_rgbs.{i}.upsample.kernel" for i in range(blocks)]


def _filters(blocks: int) -> Iterator[str]:
    """The official names of the filters, of gain 1; layers that do not need theirs have one as well."""
    for res in (4 << i for i in range(blocks + 1)):
        yield f"synthesis.b{res}.resample_filter"
        yield from (f"synthesis.b{res}.{conv}.resample_filter" for conv in ("conv0", "conv1")[res == 4 :])


def _mean_style(tensors: Mapping[str, Tensor]) -> Tensor:
    """The mean style of seeded noise, which is what the repository itself truncates toward."""
    mapping = {name.removeprefix("mapping."): t for name, t in tensors.items() if name.startswith("mapping.")}
    config = config_of(tensors)
    size = config["w_dim"]  # of the noise as well
    mapping["w_avg"] = torch.zeros(size)
    with torch.device("meta"):
        network = MappingNetwork(size, 0, size, config["num_layers"], LR_MULTIPLIER)
    check_fit(network, mapping)
    network.load_state_dict(mapping, assign=True)
    noise, total = torch.Generator().manual_seed(0), torch.zeros(size, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(PARTS):
            total += network(torch.randn(STYLES // PARTS, size, generator=noise)).double().sum(dim=0)
    return (total / STYLES).float()
