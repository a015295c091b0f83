"""What StyleAE starts from: networks that invert each other, and the best linear code."""

from __future__ import annotations

__all__ = ["SLOPE", "linear_basis", "mirror"]

import torch
from torch import Tensor, nn

DAMPING = 1e-3  # of the readers' regression, as a share of the mean variance
SLOPE = 0.9  # of the encoder's PReLU; the decoder's is the inverse


def mirror(
    encoder: nn.Sequential, decoder: nn.Sequential, random: torch.Generator, basis: Tensor | None = None
) -> None:
    """Give both networks orthogonal weights and no biases, so that the decoder inverts the encoder.

    The inversion is exact for hidden layers as wide as the code, and near for wider ones.

    Arguments:
        encoder: linear layers with a PReLU of slope ``SLOPE`` between any two.
        decoder: the same widths backwards, with the inverse slope.
        random: draws the weights.
        basis: ``[rank, rank]``, the encoder but for its non-linearities; ``None`` for a random rotation,
            which makes the decoder's weights transposes of the encoder's.
    """
    there, back = ([part for part in net if isinstance(part, nn.Linear)] for net in (encoder, decoder))
    rank = there[0].in_features
    product = torch.eye(rank)
    for layer in there[:-1]:
        weight = nn.init.orthogonal_(torch.empty(layer.weight.shape), generator=random)
        layer.weight.data.copy_(weight)
        product = weight @ product
    if basis is None:
        basis = nn.init.orthogonal_(torch.empty(rank, rank), generator=random)
    else:  # a PReLU keeps (1 + slope) / 2 of a signal on average
        basis = basis.cpu() / ((1 + SLOPE) / 2) ** (len(there) - 1)
    there[-1].weight.data.copy_(basis @ product.T)
    for layer, inverse in zip(there[:-1], reversed(back[1:]), strict=True):
        inverse.weight.data.copy_(layer.weight.T)
    back[0].weight.data.copy_(product @ torch.linalg.inv(basis))
    for layer in there + back:
        nn.init.zeros_(layer.bias)


def linear_basis(y: Tensor, attrs: Tensor) -> Tensor:
    """The best linear code: ridge predictions of the K attributes, and a rest that they cannot see.

    Moving one of the first K coordinates is the cheapest move that changes its attribute's prediction and no
    other. Cheap means short in images and short in standard deviations of the samples, in equal parts: the
    first alone finds directions in which samples hardly vary, and where images do not follow the prediction;
    the second alone moves whatever is correlated with the attribute.

    Arguments:
        y: coordinates ``[N, rank]``.
        attrs: normalised attributes ``[N, K]``.

    Returns:
        ``[rank, rank]``, invertible; the first K columns of its inverse are the moves.
    """
    x, a = (y - y.mean(dim=0)).double(), (attrs - attrs.mean(dim=0)).double()
    square, cross = x.T @ x / len(x), x.T @ a / len(x)
    one = square.diagonal().mean() * torch.eye(len(square), dtype=x.dtype, device=x.device)
    readers = torch.linalg.solve(square + DAMPING * one, cross)
    cheap = torch.linalg.solve(square + one, square @ readers)  # (1 + square⁻¹)⁻¹, the inverse of the cost
    moves = cheap @ torch.linalg.inv(readers.T @ cheap)
    unread = torch.linalg.qr(readers, mode="complete").Q[:, attrs.shape[1] :]
    return torch.linalg.inv(torch.cat([moves, unread], dim=1)).float()
