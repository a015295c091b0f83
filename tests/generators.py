"""Small StyleGAN2 generators of 16×16 pixels."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.generators import StyleGAN2


def tiny(seed: int = 3, **changes: Any) -> StyleGAN2:
    """A generator to be trained, with biases and noise that matter."""
    torch.manual_seed(seed)
    arguments = {
        "z_dim": 6,
        "w_dim": 8,
        "num_layers": 2,
        "img_resolution": 16,
        "channels": {4: 7, 8: 5, 16: 3},
    }
    generator = StyleGAN2(**(arguments | changes))
    for name, parameter in generator.named_parameters():
        if name.endswith(("bias", "noise_strength")):
            torch.nn.init.normal_(parameter)
    return generator


def frozen(seed: int = 3, **changes: Any) -> StyleGAN2:
    """The same as it comes from a checkpoint, with a mean style."""
    generator = tiny(seed, **changes)
    generator.w_avg.normal_()
    return generator.eval().requires_grad_(False)
