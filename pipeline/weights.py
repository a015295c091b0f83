"""Networks on disk: a folder with ``config.json`` and the network's files, and nothing that is unpickled.

A network of our own is ``weights.safetensors`` beside a ``config.json`` that holds ``architecture`` (which
class reads the tensors) and that class's constructor arguments. An imported one lists its files in
``config.json`` under ``files``, each with its SHA-256 digest, and no reader sees a file that differs.
"""

from __future__ import annotations

__all__ = [
    "CONFIG",
    "PARTIAL",
    "WEIGHTS",
    "Weights",
    "load_config",
    "load_weights",
    "save_config",
    "save_weights",
    "sha256",
    "weights_digest",
    "write_atomic",
]

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from pipeline.errors import PipelineError

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
PARTIAL = re.compile(r"\..+\.[0-9a-f]{16}")
"""The name of a file that is being written: a dot, its own name, and a number."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a network folder holds, and the digest of its files."""

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
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:  # of a full disk it does not say where
        error.filename = error.filename or str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def save_weights(folder: str | Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write a network folder; each file appears whole or not at all, and equal input gives equal bytes."""
    contiguous = {name: t.detach().cpu().contiguous() for name, t in sorted(tensors.items())}
    write_atomic(Path(folder) / WEIGHTS, save(contiguous))
    save_config(folder, config)


def save_config(folder: str | Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json`` alone."""
    write_atomic(Path(folder) / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def load_weights(folder: str | Path, device: str | torch.device = "cpu") -> Weights:
    """Read a network folder.

    Raises:
        PipelineError: when the folder or a file is missing, truncated or not what it should be.
    """
    folder = Path(folder)
    config = load_config(folder)
    _require(folder, WEIGHTS)
    try:
        tensors = load_file(folder / WEIGHTS, device=str(device))
    except (SafetensorError, ValueError) as error:
        raise _damaged(folder, error) from error
    return Weights(folder, config, tensors, weights_digest(folder))


def load_config(folder: str | Path) -> dict[str, Any]:
    """The content of ``config.json``, after every file that it lists has been held to its digest.

    Raises:
        PipelineError: when the folder, ``config.json`` or a listed file is missing, truncated or edited.
    """
    folder = Path(folder)
    config = _read_config(folder)
    for name, expected in _listed_files(folder, config).items():
        _require(folder, name)
        if (found := sha256(folder / name)) != expected:
            raise PipelineError(
                f"expected the SHA-256 {expected[:12]}… of {CONFIG}, got {found[:12]}…, in {folder / name}: "
                "the file is truncated or edited, restore it or import it again"
            )
    return config


def weights_digest(folder: str | Path) -> str:
    """The hexadecimal SHA-256 digest that identifies a network: of all its files and its configuration.

    Raises:
        PipelineError: when a file is missing.
    """
    folder = Path(folder)
    names = [*sorted(_listed_files(folder, _read_config(folder)) or [WEIGHTS]), CONFIG]
    for name in names:
        _require(folder, name)
    return hashlib.sha256("".join(sha256(folder / name) for name in names).encode()).hexdigest()


def _read_config(folder: Path) -> dict[str, Any]:
    """The content of ``config.json``, without a look at the other files."""
    _require(folder, CONFIG)
    try:
        config = json.loads((folder / CONFIG).read_text())
    except ValueError as error:
        raise _damaged(folder, error) from error
    if not isinstance(config, dict) or "architecture" not in config:
        raise PipelineError(
            f"expected the key 'architecture' in {folder / CONFIG}, got none: is this a network folder?"
        )
    return config


def _listed_files(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """File name → digest of an imported network, empty for one of our own; no name leaves the folder."""
    files = config.get("files", {})
    if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
        raise PipelineError(f"expected names and digests in 'files', got {files!r}, in {folder / CONFIG}")
    for path in map(PurePosixPath, files):
        if path.is_absolute() or ".." in path.parts:
            raise PipelineError(f"expected files inside of {folder}, got {str(path)!r}, in {folder / CONFIG}")
    return files


def _require(folder: Path, name: str) -> None:
    """Refuse a network folder that lacks one of its files."""
    if not (folder / name).is_file():
        raise PipelineError(
            f"expected {CONFIG} and the network's files in {folder}, got no {name}: "
            "check the path in params.yaml"
        )


def _damaged(folder: Path, error: Exception) -> PipelineError:
    return PipelineError(f"expected a whole network in {folder}, got a damaged file ({error}): restore it")
