"""Continuous flows: the velocity network of StyleFlow, and the solvers of its differential equation.

References:
    Grathwohl, Chen, Bettencourt, Sutskever, Duvenaud: FFJORD: free-form continuous dynamics for scalable
    reversible generative models, arXiv 1810.01367. Yang et al.: PointFlow: 3D point cloud generation with
    continuous normalizing flows, arXiv 1906.12320 (the concat-squash layer).
"""

from __future__ import annotations

__all__ = ["ConcatSquash", "Rate", "Velocity", "integrate"]

from collections.abc import Callable

import torch
from torch import Tensor, nn

TOLERANCE = 1e-5  # of dopri5, absolute and relative
GAIN = 2.0  # a gate halves its layer's output at the start: the weights make up for it

Rate = Callable[[float | Tensor, Tensor], Tensor]
"""Time and state ``[N, S]`` → the state's derivative ``[N, S]``."""


class ConcatSquash(nn.Module):
    """A linear layer whose output is scaled and shifted by what the condition says.

    Arguments:
        inputs: width of the input.
        outputs: width of the output.
        conditions: width of the condition.
    """

    def __init__(self, inputs: int, outputs: int, conditions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(conditions, outputs)
        self.shift = nn.Linear(conditions, outputs, bias=False)

    def forward(self, x: Tensor, condition: Tensor, tangents: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``x [N, inputs]`` → ``[N, outputs]``, and what the Jacobian does to ``tangents [T, N, inputs]``."""
        gate = torch.sigmoid(self.gate(condition))
        if tangents is not None:
            tangents = nn.functional.linear(tangents, self.linear.weight) * gate
        return self.linear(x) * gate + self.shift(condition), tangents


class Velocity(nn.Module):
    """The right-hand side of the flow's differential equation.

    Arguments:
        w_dim: width of the state.
        attributes: K.
        layers: how many.
        width: units of a hidden layer.
    """

    def __init__(self, w_dim: int, attributes: int, layers: int, width: int) -> None:
        super().__init__()
        widths = [w_dim, *[width] * (layers - 1), w_dim]
        squashes = [
            ConcatSquash(inputs, outputs, attributes + 1)
            for inputs, outputs in zip(widths[:-1], widths[1:], strict=True)
        ]
        for layer in squashes:
            nn.init.orthogonal_(layer.linear.weight, gain=GAIN)
            nn.init.zeros_(layer.linear.bias)
        nn.init.zeros_(squashes[-1].linear.weight)
        nn.init.zeros_(squashes[-1].shift.weight)
        self.layers = nn.ModuleList(squashes)

    def forward(
        self, time: float | Tensor, x: Tensor, attrs: Tensor, tangents: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The velocity at ``x``, and what its Jacobian does to tangents, forward through the same layers.

        Arguments:
            time: in [0, 1].
            x: ``[N, w_dim]``.
            attrs: normalised attributes ``[N, K]``.
            tangents: directions ``[T, N, w_dim]``, or ``None``.

        Returns:
            ``[N, w_dim]``, and ``[T, N, w_dim]`` or ``None``.
        """
        condition = torch.cat([attrs, torch.ones_like(attrs[:, :1]) * time], dim=1)
        for index, layer in enumerate(self.layers):
            x, tangents = layer(x, condition, tangents)
            if index + 1 < len(self.layers):
                x = torch.tanh(x)
                tangents = tangents * (1 - x.square()) if tangents is not None else None
        return x, tangents


def integrate(
    rate: Rate, state: Tensor, start: float, end: float, solver: str = "dopri5", steps: int = 1
) -> Tensor:
    """The state ``[N, S]`` at the time ``end``, which may lie before ``start``; the graph is kept.

    Fixed steps are our own because those of torchdiffeq write in place, which ``vmap`` does not allow.

    Arguments:
        rate: the right-hand side.
        state: at the time ``start``.
        start: time.
        end: time.
        solver: ``dopri5``, which holds a tolerance, ``rk4`` or ``midpoint``.
        steps: of ``rk4`` and ``midpoint``.
    """
    if solver == "dopri5":
        from torchdiffeq import odeint  # brings SciPy along, and fixed steps do without

        times = torch.tensor([start, end], device=state.device)
        return odeint(rate, state, times, rtol=TOLERANCE, atol=TOLERANCE, method="dopri5")[-1]
    step = (end - start) / steps
    for index in range(steps):
        state = state + step * SLOPES[solver](rate, start + index * step, state, step)
    return state


def _midpoint(rate: Rate, time: float, state: Tensor, step: float) -> Tensor:
    """The slope of the explicit midpoint rule."""
    return rate(time + step / 2, state + step / 2 * rate(time, state))


def _rk4(rate: Rate, time: float, state: Tensor, step: float) -> Tensor:
    """The slope of the classical Runge-Kutta method of order 4."""
    first = rate(time, state)
    second = rate(time + step / 2, state + step / 2 * first)
    third = rate(time + step / 2, state + step / 2 * second)
    fourth = rate(time + step, state + step * third)
    return (first + 2 * second + 2 * third + fourth) / 6


SLOPES = {"midpoint": _midpoint, "rk4": _rk4}
