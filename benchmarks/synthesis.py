"""Synthesis: prepared, plain, and by per-sample weights and grouped convolutions, as published.

The first row of each comparison is the baseline (:mod:`benchmarks.grouped`). The floor is the arithmetic of
the prepared form, the cheapest that we know, at the rate of a matrix product in fp32; rows in bf16 have none.
Networks beside the embedded one are config-f without training: weights cost the same whatever they are. Run
it as ``python -m benchmarks.synthesis``. ``--nvidia FOLDER`` adds NVIDIA's own network in the first
comparison, from a clone of stylegan2-ada-pytorch in that folder.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import functools
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.grouped import grouped
from benchmarks.harness import Asked, Case, Report, Row, arguments, flops_of, measure
from pipeline.generators import StyleGAN2, load_generator
from pipeline.generators.base import Synthesis

GENERATOR = "models/portraits64/generator"
BASELINE = "grouped, fp32"
PORTRAITS = "portraits, 64"


def main() -> None:
    """Measure, print tables, write JSON."""
    nvidia, rest = _nvidia_folder()
    asked = arguments("synthesis", __doc__, rest)
    report = Report(asked)
    report.add("forms", "Synthesis: forms of the same function", "images", forms(asked, nvidia))
    report.add("resolution", "Synthesis, config-f, with resolution", "images", resolutions(asked))
    report.add("batch", "Synthesis, portraits, with the size of the batch", "images", batches(asked))
    report.add("gradient", "Synthesis and the gradient in w", "images", gradients(asked))
    report.write()


def _nvidia_folder() -> tuple[Path | None, list[str]]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--nvidia", type=Path)
    given, rest = parser.parse_known_args()
    return given.nvidia, rest


def forms(asked: Asked, nvidia: Path | None) -> list[Row]:
    """Each network with each number of threads: baseline, plain, prepared in two precisions."""
    large = 256 if asked.short else 1024
    networks = [(PORTRAITS, _portraits(), 16), ("config-f, 64", _config_f(64), 4)]
    networks += [(f"config-f, {large}", _config_f(large), 1)]
    threads = [asked.threads] if asked.short or asked.device == "cuda" else [1, 2]
    rows = []
    for count in threads:
        for name, generator, batch in networks:
            labels = {"network": name, "batch": batch, "threads": count}
            rounds = min(asked.rounds, 3) if generator.img_resolution > 256 else asked.rounds
            turns = replace(asked, threads=count, rounds=rounds)
            torch.set_num_threads(count)
            generator = generator.to(asked.device)
            synthesizers = {
                BASELINE: grouped(generator),
                "plain, fp32": generator.synthesize,
                "prepared, fp32": generator.prepare(),
                "prepared, bf16": generator.prepare(torch.bfloat16),
            }
            if nvidia and name != PORTRAITS:  # whose channels theirs cannot have
                synthesizers["NVIDIA, fp32"] = _published(nvidia, generator)
            rows += _rows(synthesizers, generator, batch, labels, turns)
    return rows


def resolutions(asked: Asked) -> list[Row]:
    """Prepared synthesis of growing images, one at a time."""
    return [
        row
        for res in ([32, 64, 128] if asked.short else [32, 64, 128, 256, 512, 1024])
        for row in _alone(_config_f(res).to(asked.device), 1, {"resolution": res}, asked)
    ]


def batches(asked: Asked) -> list[Row]:
    """Prepared synthesis of the embedded network in growing batches."""
    generator = _portraits().to(asked.device)
    sizes = [1, 16, 64] if asked.short else [1, 2, 4, 8, 16, 32, 64, 128]
    return [row for size in sizes for row in _alone(generator, size, {"batch": size}, asked)]


def gradients(asked: Asked) -> list[Row]:
    """Forward and backward: a vector-Jacobian product for each image."""
    rows = []
    for name, generator, batch in [(PORTRAITS, _portraits(), 16), ("config-f, 64", _config_f(64), 2)]:
        generator = generator.to(asked.device)
        synthesizers = {
            BASELINE: grouped(generator),
            "plain, fp32": generator.synthesize,
            "prepared, fp32": generator.prepare(),
        }
        labels = {"network": name, "batch": batch}
        rows += _rows(synthesizers, generator, batch, labels, asked, gradient=True)
    return rows


def _alone(generator: StyleGAN2, batch: int, labels: dict[str, Any], asked: Asked) -> list[Row]:
    """Both precisions, a point of a curve; three rounds are enough for that."""
    forms = {
        "prepared, fp32": generator.prepare(),
        "prepared, bf16": generator.prepare(torch.bfloat16),
    }
    return _rows(forms, generator, batch, labels, replace(asked, rounds=min(asked.rounds, 3)))


def _rows(
    synthesizers: dict[str, Synthesis],
    generator: StyleGAN2,
    batch: int,
    labels: dict[str, Any],
    asked: Asked,
    gradient: bool = False,
) -> list[Row]:
    """Rows of several forms of one network, in turns."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(batch, generator.z_dim, generator=random)
    w = generator.mapping(z.to(asked.device)).detach()
    calls = {
        name: functools.partial(_product if gradient else _images, synthesize, w)
        for name, synthesize in synthesizers.items()
    }
    flops = flops_of(calls["prepared, fp32"])
    cases = [
        Case(name=name, run=call, work=batch, flops=0 if "bf16" in name else flops, labels=labels)
        for name, call in calls.items()
    ]
    return measure(cases, asked)


@torch.no_grad()
def _images(synthesize: Synthesis, w: Tensor) -> Tensor:
    return synthesize(w)


def _product(synthesize: Synthesis, w: Tensor) -> Tensor:
    leaf = w.clone().requires_grad_()
    img = synthesize(leaf + 0)  # the counter of operations wants no leaves in modules
    return torch.autograd.grad(img, leaf, torch.ones_like(img))[0]


def _portraits() -> StyleGAN2:
    return cast(StyleGAN2, load_generator(GENERATOR))


@functools.cache
def _config_f(res: int) -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(img_resolution=res).eval().requires_grad_(False)


def _published(folder: Path, generator: StyleGAN2) -> Synthesis:
    """NVIDIA's network, from the user's clone, with the weights of ours."""
    sys.path.insert(0, str(folder))
    networks: Any = importlib.import_module("training.networks")
    theirs = networks.SynthesisNetwork(
        generator.w_dim,
        generator.img_resolution,
        3,
        channel_base=generator.channels[generator.img_resolution] * generator.img_resolution,
        channel_max=max(generator.channels.values()),
        num_fp16_res=0,
        architecture=generator.block_architecture,
        conv_clamp=generator.conv_clamp,
    )
    theirs.load_state_dict(dict(generator.named_children())["synthesis"].state_dict())
    theirs = theirs.eval().requires_grad_(False)
    return lambda w: theirs(generator.broadcast(w), noise_mode="const")


if __name__ == "__main__":
    main()
