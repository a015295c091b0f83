"""Pickles of stylegan2-ada-pytorch, and of StyleGAN2 in stylegan3.

A file holds several networks; each is a persistent object. What a network computes is read from the settings
of its layers, then from the arguments that it was made with, and must be what
:class:`~pipeline.generators.stylegan2.StyleGAN2` computes.

References:
    https://github.com/NVlabs/stylegan2-ada-pytorch, https://github.com/NVlabs/stylegan3
"""

from __future__ import annotations

__all__ = ["read_nvidia"]

import hashlib
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

import torch
from torch import Tensor

from pipeline.checkpoints.fitting import Network, config_of, no_network
from pipeline.checkpoints.persistent import Module, is_module, modules_of, setting, tensor_nodes
from pipeline.checkpoints.storages import embedded_storage
from pipeline.checkpoints.tensors import read_tensor
from pipeline.checkpoints.values import Budget, Call, shown
from pipeline.errors import PipelineError
from pipeline.generators.networks import BlockArchitecture
from pipeline.generators.resampling import fir_filter

# Arguments in the order in which they may be given without a name.
POSITIONAL = {
    "": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"),
    "mapping": ("z_dim", "c_dim", "w_dim", "num_ws", "num_layers", "embed_features", "layer_features"),
    "synthesis": ("w_dim", "img_resolution", "img_channels", "channel_base", "channel_max", "num_fp16_res"),
}
# Arguments that the tensors show as well, and must agree with.
SHOWN = ("z_dim", "c_dim", "w_dim", "num_layers", "img_resolution")
# Arguments that StyleGAN2 takes, and those that say nothing about what is computed, or nothing new.
TAKEN = {"conv_clamp", "lr_multiplier"}
IDLE = {"num_ws", "w_avg_beta", "channel_base", "channel_max", "freeze_layers", "freeze_embed"}
IDLE |= {"num_fp16_res", "use_fp16", "fp16_channels_last", "fused_modconv_default"}

FULLY_CONNECTED = re.compile(r"mapping\.fc[0-9]+")
CONVOLUTION = re.compile(r"synthesis\.b[0-9]+\.conv[01]")
CLAMPED = re.compile(r"synthesis\.b[0-9]+\.(conv[01]|torgb)")
BLOCK = re.compile(r"synthesis\.b[0-9]+")
STYLEGAN3 = re.compile(r"synthesis\.(input|L[0-9]+_.*)")


def read_nvidia(content: object, network: str, budget: Budget) -> Network:
    """One generator of what a pickle holds.

    Arguments:
        content: the pickle's value, a dict of networks and other things.
        network: which of them, such as ``G_ema``.
        budget: what reading may cost.

    Raises:
        PipelineError: when there is no such network, or none that StyleGAN2 can compute.
    """
    modules = modules_of(_choose(content, network))
    _check_kind(modules)
    storage_of = partial(embedded_storage, budget=budget)
    nodes = tensor_nodes(modules)
    tensors = {name: read_tensor(node, name, storage_of, budget) for name, node in nodes.items()}
    mapping, synthesis = _arguments(modules)
    config = config_of(tensors)
    _check_arguments("mapping", mapping, config)
    _check_arguments("synthesis", synthesis, config)
    _check_layers(modules, tensors)
    source = {
        "format": "nvidia-pickle",
        "network": network,
        "class_name": modules[""].class_name,
        "tensors": len(tensors),
        "module_sha256": hashlib.sha256(modules[""].source.encode()).hexdigest(),
        "num_fp16_res": synthesis["num_fp16_res"] if type(synthesis.get("num_fp16_res")) is int else None,
    }
    return Network(tensors, _settings(modules, mapping, synthesis), source)


def _choose(content: object, network: str) -> Call:
    content = content if type(content) is dict else {}
    networks = {name: node for name, node in content.items() if is_module(node)}
    if network in networks:
        return networks[network]
    raise no_network(network, (name for name in networks if type(name) is str))


def _check_kind(modules: Mapping[str, Module]) -> None:
    """Refuse what is no StyleGAN2 generator, by name where it is known."""
    if any(STYLEGAN3.fullmatch(name) for name in modules):
        raise PipelineError(
            "expected a StyleGAN2 generator, got one of StyleGAN3: choose a StyleGAN2 checkpoint"
        )
    if not {"mapping", "synthesis", "synthesis.b4"} <= modules.keys():
        raise PipelineError(
            "expected a StyleGAN2 generator, with a mapping and a synthesis network, got a "
            f"{shown(modules[''].class_name)} without: choose another network of the file, such as G_ema"
        )


def _arguments(modules: Mapping[str, Module]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the mapping and the synthesis network were made with, by the generator or on their own.

    The generators of both repositories hand their arguments on: that of stylegan2-ada-pytorch as
    ``synthesis_kwargs``, that of stylegan3 one by one.
    """
    generator = _own_arguments(modules, "")
    for_mapping = {"z_dim", "c_dim", "w_dim"}
    handed = {name: _as_dict(generator.pop(f"{name}_kwargs", {})) for name in ("mapping", "synthesis")}
    mapping = {name: value for name, value in generator.items() if name in for_mapping}
    synthesis = {name: value for name, value in generator.items() if name not in {"z_dim", "c_dim"}}
    return (
        mapping | handed["mapping"] | _own_arguments(modules, "mapping"),
        synthesis | handed["synthesis"] | _own_arguments(modules, "synthesis"),
    )


def _own_arguments(modules: Mapping[str, Module], name: str) -> dict[str, Any]:
    """The arguments of one constructor, with and without names."""
    state = modules[name].state
    values = state.get("_init_args", ())
    if type(values) is not tuple or len(values) > len(POSITIONAL[name]):
        raise PipelineError(
            f"expected at most {len(POSITIONAL[name])} unnamed arguments of the {name or 'generator'}, "
            f"got {shown(values)}: it is not an official network"
        )
    unnamed = dict(zip(POSITIONAL[name], values, strict=False))
    named = _as_dict(state.get("_init_kwargs", {}))
    if twice := unnamed.keys() & named.keys():
        raise PipelineError(f"expected each argument once, got {min(twice)} twice: the file is damaged")
    return unnamed | named


def _as_dict(value: object) -> dict[str, Any]:
    if type(value) is not dict or not all(type(name) is str for name in value):
        raise PipelineError(f"expected named arguments, got {shown(value)}: the file is damaged")
    return value


def _check_arguments(owner: str, arguments: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Refuse arguments that StyleGAN2 does not take, or that contradict the tensors."""
    only: dict[str, tuple[Any, ...]] = {
        "img_channels": (3,),
        "resample_filter": ([1, 3, 3, 1], (1, 3, 3, 1)),
        "activation": ("lrelu",),
        "use_noise": (True,),
        "kernel_size": (3,),
        "embed_features": (None, config["w_dim"]),
        "layer_features": (None, config["w_dim"]),
        "architecture": get_args(BlockArchitecture),
        **{name: (config[name],) for name in SHOWN},
    }
    for name, value in arguments.items():
        if name not in only.keys() | TAKEN | IDLE:
            raise PipelineError(
                f"expected the arguments of StyleGAN2's {owner} network, got {shown(name)}, too: "
                "the checkpoint is of a changed architecture"
            )
        if name in TAKEN and type(value) not in (int, float, type(None)):
            raise PipelineError(f"expected {name} to be a number, got {shown(value)}: the file is damaged")
        if name in only and value not in only[name]:
            raise PipelineError(
                f"expected {name} of the {owner} network to be {' or '.join(map(str, only[name]))}, "
                f"got {shown(value)}: StyleGAN2 cannot compute another"
            )


def _check_layers(modules: Mapping[str, Module], tensors: Mapping[str, Tensor]) -> None:
    """Refuse layers that compute something else than StyleGAN2's."""
    for layers, name, only in (
        (FULLY_CONNECTED, "activation", ("lrelu",)),
        (CONVOLUTION, "activation", ("lrelu",)),
        (CONVOLUTION, "use_noise", (True,)),
        (BLOCK, "architecture", get_args(BlockArchitecture)),
    ):
        if (found := setting(modules, layers, name, only[0])) not in only:
            raise PipelineError(
                f"expected {name} of all layers to be {' or '.join(map(str, only))}, got {shown(found)}: "
                "StyleGAN2 has no other"
            )
    for name, tensor in tensors.items():
        if name.endswith("resample_filter") and not torch.equal(tensor, fir_filter()):
            raise PipelineError(
                f"expected the filter [1, 3, 3, 1] as {name}, got another: StyleGAN2 has no other"
            )


def _settings(
    modules: Mapping[str, Module], mapping: Mapping[str, Any], synthesis: Mapping[str, Any]
) -> dict[str, Any]:
    """What shapes do not show: as the layers have it, else the arguments, else the official default."""
    lr_multiplier = setting(modules, FULLY_CONNECTED, "bias_gain", mapping.get("lr_multiplier", 0.01))
    conv_clamp = setting(modules, CLAMPED, "conv_clamp", synthesis.get("conv_clamp"))
    return {
        "mapping_lr_multiplier": _positive("lr_multiplier", lr_multiplier),
        "conv_clamp": None if conv_clamp is None else _positive("conv_clamp", conv_clamp),
        "block_architecture": setting(modules, BLOCK, "architecture", synthesis.get("architecture", "skip")),
    }


def _positive(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise PipelineError(
            f"expected {name} to be a positive number below 1e6, got {shown(value)}: the file is damaged"
        )
    return float(value)
