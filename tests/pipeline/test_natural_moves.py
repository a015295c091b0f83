"""How styles differ that differ in one attribute alone: the effects, and the same bits in every process."""

from __future__ import annotations

import torch

from pipeline.editors.style_ae_training import natural_moves


def test_natural_moves_are_the_partial_effects():
    random = torch.Generator().manual_seed(0)
    attrs = torch.randn(500, 3, generator=random)
    attrs = torch.cat([attrs, attrs[:, :1] + torch.randn(500, 1, generator=random)], dim=1)
    effects = torch.randn(4, 6, generator=random)
    torch.testing.assert_close(natural_moves(attrs @ effects + 5, attrs), effects)


def test_natural_moves_are_the_same_bits_wherever_memory_is_free():
    random = torch.Generator().manual_seed(0)
    y, attrs = torch.randn(1000, 12, generator=random), torch.randn(1000, 8, generator=random)
    attrs[:, 1] = attrs[:, 0] + 1e-7 * attrs[:, 1]  # nearly the same, so that the last bits show
    found, held = set(), []
    for _ in range(100):
        sizes = torch.randint(1, 400_000, (30,), generator=random)
        held += [torch.empty(size, dtype=torch.uint8) for size in sizes.tolist()]
        held = [held[place] for place in torch.randperm(len(held), generator=random)[:15]]
        found.add(natural_moves(y, attrs).numpy().tobytes())
    assert len(found) == 1
