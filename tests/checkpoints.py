"""A small generator, files with checkpoints of it, and what reading them must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipeline.checkpoints import Checkpoint
from pipeline.generators import StyleGAN2
from tests.foreign import dump, nvidia_content


def written(folder: Path, content: bytes, name: str = "network.pkl") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def nvidia_file(folder: Path, protocol: int = 4, **networks: Any) -> Path:
    return written(folder, dump(nvidia_content(networks), protocol))


def loaded(checkpoint: Checkpoint) -> StyleGAN2:
    generator = StyleGAN2.from_config(checkpoint.config)
    generator.load_state_dict(checkpoint.tensors)
    return generator.requires_grad_(False)


def assert_same(checkpoint: Checkpoint, generator: StyleGAN2) -> None:
    """Configuration, tensors and images are those of ``generator``, bit for bit."""
    assert checkpoint.config == generator.config()
    assert checkpoint.tensors.keys() == generator.state_dict().keys()
    for name, tensor in generator.state_dict().items():
        assert torch.equal(checkpoint.tensors[name], tensor), name
        assert checkpoint.tensors[name].dtype == torch.float32
        assert checkpoint.tensors[name].stride() == tensor.contiguous().stride()
    w = torch.randn(2, generator.w_dim)
    assert torch.equal(loaded(checkpoint).synthesize(w), generator.synthesize(w))
