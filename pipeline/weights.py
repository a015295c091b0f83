"""Networks on disk: a folder with ``weights.safetensors`` and ``config.json``, and nothing that executes.

``config.json`` holds ``architecture`` (which class reads the tensors) and that class's constructor arguments.
"""

from __future__ import annotations

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "Weights",
    "load_weights",
    "save_weights",
    "sha256",
    "weights_digest",
    "write_atomic",
]

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pipeline.errors import PipelineError

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class Weights:
    """What a network folder holds, and the digest of both of its files."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    digest: str

    def fill(self, module: nn.Module) -> None:
        """Load the tensors into ``module``: all of them, none missing, shapes equal.

        Raises:
            PipelineError: naming the first tensor that does not match.
        """
        expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        found = {name: tuple(t.shape) for name, t in self.tensors.items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise PipelineError(
                    f"expected tensor {name} of shape {expected.get(name, 'absent')}, "
                    f"got {found.get(name, 'absent')}, in {self.folder / WEIGHTS}: "
                    f"the weights are of another architecture than {self.folder / CONFIG} says"
                )
        module.load_state_dict(self.tensors)


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 digest of one file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: str | Path, content: bytes) -> None:
    """Write a file so that no reader ever sees a part of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def save_weights(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a network folder; each file appears whole or not at all, and equal input gives equal bytes."""
    contiguous = {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}
    write_atomic(Path(folder) / WEIGHTS, save(contiguous))
    write_atomic(Path(folder) / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def load_weights(folder: str | Path, device: str | torch.device = "cpu") -> Weights:
    """Read a network folder.

    Raises:
        PipelineError: when the folder or a file is missing, truncated or not what it should be.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise PipelineError(
                f"expected {CONFIG} and {WEIGHTS} in {folder}, got no {name}: check the path in params.yaml"
            )
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = load_file(folder / WEIGHTS, device=str(device))
    except (SafetensorError, ValueError) as error:
        raise PipelineError(
            f"expected a whole network in {folder}, got a damaged file ({error}): restore it"
        ) from error
    if not isinstance(config, dict) or "architecture" not in config:
        raise PipelineError(
            f"expected the key 'architecture' in {folder / CONFIG}, got none: is this a network folder?"
        )
    return Weights(folder, config, tensors, weights_digest(folder))


def weights_digest(folder: str | Path) -> str:
    """The hexadecimal SHA-256 digest that identifies a network: of its tensors and its configuration."""
    both = sha256(Path(folder) / WEIGHTS) + sha256(Path(folder) / CONFIG)
    return hashlib.sha256(both.encode()).hexdigest()
