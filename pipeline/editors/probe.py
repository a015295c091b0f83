"""Probes: small networks that read attributes from styles, so that training checks edits without a generator.

A probe is only a stand-in for synthesizing and labelling. A single one is easily fooled by a style that no
training sample resembles; the members of an ensemble are fooled in different directions, so an edit has to
convince them all. They are a ruler, too: how far an edit goes differs between styles, and what they read of
it says by how much its step should have been longer or shorter.
"""

from __future__ import annotations

__all__ = ["ProbeEnsemble", "corrected", "fit_probes"]

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST = 0.1  # step that is tried, so that little is not measured in less
LARGEST = 2.0  # factor that a step is lengthened or shortened by
MOST = 0.75  # deviations that it is lengthened or shortened by


class ProbeEnsemble(nn.Module):
    """P independent readers, each a linear map plus two hidden layers, evaluated as batched products.

    Arguments:
        members: P.
        features: width of the input.
        attributes: K.
        hidden: units of the hidden layer.
        seed: seeds the initial weights.
    """

    def __init__(
        self, members: int, features: int, attributes: int, hidden: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(members, *shape, generator=random) / shape[0] ** 0.5)

        self.skip = nn.Parameter(torch.zeros(members, features, attributes))
        self.hidden, self.hidden_bias = (
            normal(features, hidden),
            nn.Parameter(torch.zeros(members, 1, hidden)),
        )
        self.middle, self.middle_bias = normal(hidden, hidden), nn.Parameter(torch.zeros(members, 1, hidden))
        self.out, self.bias = normal(hidden, attributes), nn.Parameter(torch.zeros(members, 1, attributes))

    def forward(self, features: Tensor) -> Tensor:
        """Attributes ``[P, N, K]`` in training standard deviations, from ``[N, features]`` or ``[P, …]``."""
        x = features.expand(len(self.skip), -1, -1)
        h = F.silu(torch.baddbmm(self.hidden_bias, x, self.hidden))
        h = F.silu(torch.baddbmm(self.middle_bias, h, self.middle))
        return torch.baddbmm(self.bias, x, self.skip) + torch.bmm(h, self.out)

    def slopes(self, features: Tensor) -> Tensor:
        """How the mean reading of the members rises with each feature, ``[N, K, features]``.

        By the chain rule, since editors edit where there is no automatic differentiation: in inference mode.
        """
        first = torch.baddbmm(self.hidden_bias, features.expand(len(self.skip), -1, -1), self.hidden)
        second = torch.baddbmm(self.middle_bias, F.silu(first), self.middle)
        back = torch.einsum("phk,pnh->pnkh", self.out, _silu_slope(second))
        back = torch.einsum("pgh,pnkh->pnkg", self.middle, back) * _silu_slope(first)[:, :, None]
        return (torch.einsum("pfg,pnkg->pnkf", self.hidden, back) + self.skip.mT[:, None]).mean(dim=0)


def _silu_slope(x: Tensor) -> Tensor:
    """The derivative of ``silu``."""
    gate = torch.sigmoid(x)
    return gate * (1 + x * (1 - gate))


def fit_probes(
    features: Tensor, attrs: Tensor, members: int, epochs: int, seed: int, batch_size: int = 128
) -> ProbeEnsemble:
    """Fit an ensemble on the training split; each member sees its own order of the rows.

    Arguments:
        features: ``[N, features]``, about unit variance.
        attrs: normalised attributes ``[N, K]``.
        members: size of the ensemble.
        epochs: passes over the data; the rate falls to 0 along a cosine.
        seed: seeds weights and orders.
        batch_size: rows of a step, per member.
    """
    probes = ProbeEnsemble(members, features.shape[1], attrs.shape[1], seed=seed).to(features)
    random = torch.Generator().manual_seed(seed + 1)
    optimizer = torch.optim.AdamW(probes.parameters(), lr=2e-3, weight_decay=0.05, fused=True)
    steps = max(1, len(features) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(len(features), generator=random) for _ in range(members)])
        for rows in orders[:, : steps * batch_size].split(batch_size, dim=1):
            rows = rows.to(features.device)
            loss = F.mse_loss(probes(features[rows]), attrs[rows]) * members
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    return probes.eval().requires_grad_(False)


def corrected(
    step: Tensor, edit: Callable[[Tensor], Tensor], features: Tensor, column: int, probes: ProbeEnsemble
) -> Tensor:
    """The steps with which edits move an attribute about as far as ``step`` says, as the probes read them.

    One step of the secant method from the step that was asked, for each row of its own. Where probes read
    little of a long step there is often no more to be had, so what is added is bounded: a slider that is
    pulled to its end does not leave what samples look like.

    Arguments:
        step: moves that are asked for, ``[N, 1]``, in training standard deviations.
        edit: from steps ``[N, 1]`` to edited features ``[N, features]``.
        features: what is edited.
        column: the attribute.
        probes: what reads it.
    """
    tried = step.abs().clamp_min(SMALLEST).copysign(step)
    before, after = probes(torch.cat([features, edit(tried)])).mean(dim=0)[:, column, None].chunk(2)
    found = step / ((after - before) / tried).clamp(1 / LARGEST, LARGEST)
    return step + (found - step).clamp(-MOST, MOST)
