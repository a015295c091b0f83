"""Writes state dicts as rosinality's repository does, and files with ``torch.save``."""

from __future__ import annotations

import argparse
import io
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

KERNEL = torch.outer(torch.tensor([1.0, 3.0, 3.0, 1.0]), torch.tensor([1.0, 3.0, 3.0, 1.0])) / 16


def rosinality_state(
    channels: tuple[int, ...], style_dim: int, layers: int, seed: int = 0
) -> OrderedDict[str, Tensor]:
    """The state dict of a generator with the given channels at 4×4, 8×8, …."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    state: OrderedDict[str, Tensor] = OrderedDict()

    def modulated(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.conv.weight"] = normal(1, outputs, inputs, kernel, kernel)
        state[f"{name}.conv.modulation.weight"] = normal(inputs, style_dim)
        state[f"{name}.conv.modulation.bias"] = 1 + 0.1 * normal(inputs)

    def convolution(name: str, inputs: int, outputs: int) -> None:
        modulated(name, inputs, outputs, 3)
        state[f"{name}.noise.weight"] = normal(1)
        state[f"{name}.activate.bias"] = normal(outputs)

    def to_rgb(name: str, inputs: int) -> None:
        state[f"{name}.bias"] = normal(1, 3, 1, 1)
        modulated(name, inputs, 3, 1)

    for i in range(layers):
        state[f"style.{i + 1}.weight"] = 100 * normal(style_dim, style_dim)
        state[f"style.{i + 1}.bias"] = 100 * normal(style_dim)
    state["input.input"] = normal(1, channels[0], 4, 4)
    convolution("conv1", channels[0], channels[0])
    to_rgb("to_rgb1", channels[0])
    for i, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
        convolution(f"convs.{2 * i}", inputs, outputs)
        state[f"convs.{2 * i}.conv.blur.kernel"] = KERNEL.clone()
        convolution(f"convs.{2 * i + 1}", outputs, outputs)
        state[f"to_rgbs.{i}.upsample.kernel"] = KERNEL.clone()
        to_rgb(f"to_rgbs.{i}", outputs)
    for n in range(2 * len(channels) - 1):
        res = 4 << (n + 1) // 2
        state[f"noises.noise_{n}"] = normal(1, 1, res, res)
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


def training_content(state: OrderedDict[str, Tensor]) -> dict[str, Any]:
    """What a training run saves: networks, optimizers with their moments, and its arguments."""
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    return {
        "g": OrderedDict((name, t + 1) if name.endswith("bias") else (name, t) for name, t in state.items()),
        "d": network.state_dict(),
        "g_ema": state,
        "g_optim": optimizer.state_dict(),
        "d_optim": optimizer.state_dict(),
        "args": argparse.Namespace(size=16, mixing=0.9, path="lmdb", arch="stylegan2"),
        "ada_aug_p": 0.0,
    }


def save(content: object, legacy: bool = False) -> bytes:
    """``torch.save``, as a zip file or as the older stream."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()
