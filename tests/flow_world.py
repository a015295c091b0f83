"""What tests of normalising flows share: weights that are nothing special, and a toy with a known answer."""

from __future__ import annotations

import torch

from pipeline.editors import EditingData


def roughen(editor, size=0.3):
    """Random weights, so that no part of the flow is the identity."""
    random = torch.Generator().manual_seed(5)
    for parameter in editor.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=random) * size)
    return editor.requires_grad_(False)


def toy(count=2000):
    """Two dimensions, one of which is the attribute, seen at an angle of 30°."""
    random = torch.Generator().manual_seed(0)
    a, noise = torch.randn(2, count, generator=random)
    direction = torch.tensor([3**0.5 / 2, 0.5])
    w = a[:, None] * direction + 0.5 * noise[:, None] * torch.tensor([-0.5, 3**0.5 / 2])
    return EditingData(w, a[:, None], ("age",)), direction


def finite_jacobian(function, x, step=1e-4):
    """The Jacobian ``[D, D]`` of a function of one row ``x [D]``, by central differences."""
    steps = step * torch.eye(len(x), dtype=x.dtype)
    return torch.stack([(function(x + h) - function(x - h)) / (2 * step) for h in steps], dim=1)
