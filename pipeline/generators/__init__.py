"""Generators: one architecture a file, one way to read them from disk."""

from __future__ import annotations

__all__ = ["Generator", "StyleGAN2", "load_generator"]

from pathlib import Path

import torch

from pipeline.errors import PipelineError
from pipeline.generators.base import Generator
from pipeline.generators.stylegan2 import ARCHITECTURE as STYLEGAN2
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.weights import CONFIG, load_weights

ARCHITECTURES = {STYLEGAN2: StyleGAN2}
ORIGIN = ("source", "files")  # keys of an imported network's configuration that say where it comes from


def load_generator(folder: str | Path, device: str | torch.device = "cpu") -> Generator:
    """Read a generator, frozen and in evaluation mode.

    Arguments:
        folder: a network folder (see :mod:`pipeline.weights`) whose configuration names the architecture.
        device: where its tensors go.

    Raises:
        PipelineError: when the folder is not a whole network, its architecture is unknown, or a tensor does
            not fit.
    """
    weights = load_weights(folder, device)
    architecture = weights.config["architecture"]
    if architecture not in ARCHITECTURES:
        raise PipelineError(
            f"expected a generator architecture in {sorted(ARCHITECTURES)}, got {architecture!r}, "
            f"in {Path(folder) / CONFIG}: point the generator at a generator's folder"
        )
    arguments = {name: value for name, value in weights.config.items() if name not in ORIGIN}
    generator = ARCHITECTURES[architecture].from_config(arguments).to(device)
    weights.fill(generator)
    return generator.eval().requires_grad_(False)
