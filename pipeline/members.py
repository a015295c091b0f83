"""Several editors of one kind trained at once, which differ in their seed: one batched model instead of many.

At the size of an editor much of a step is the overhead of its many small operations. With the weights of all
members stacked, each operation is done once for all of them. Every member sees the batches, the draws and the
schedule of a training of its own (:class:`pipeline.loop.Loop`), and ends where that would but for rounding.
"""

from __future__ import annotations

__all__ = ["train_members"]

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from pipeline.editors import EditingData, Objective
from pipeline.editors.base import Rows
from pipeline.loop import LoopSettings, batches_of, count_of, learning_rate


def train_members(
    objectives: Sequence[Objective],
    settings: LoopSettings,
    train: EditingData,
    val: EditingData,
    seeds: Sequence[int],
    on_epoch: Callable[[int, list[float]], None] = lambda epoch, losses: None,
) -> list[float]:
    """Train the editor of each objective, in place; each keeps the weights of its best epoch.

    Arguments:
        objectives: of editors that were built with the same settings for the same data, a seed each.
        settings: epochs, batch size, learning rate and its schedule; nothing stops early.
        train: the training split.
        val: the validation split.
        seeds: of the order of batches, one for each member.
        on_epoch: called after each epoch with its number and the validation loss of each member.

    Returns:
        The least validation loss of each member.
    """
    members = _Members(objectives)
    rows, held_rows = ([objective.rows(data) for objective in objectives] for data in (train, val))
    known, unseen = _stacked(rows), _stacked(held_rows)
    optimizer = torch.optim.Adam(members.trained, lr=settings.learning_rate, fused=True)
    best = [math.inf] * len(seeds)
    for epoch in range(settings.epochs):
        orders = [batches_of(count_of(rows[0]), settings.batch_size, seed, epoch) for seed in seeds]
        for index, batches in enumerate(zip(*orders, strict=True)):
            progress = (epoch + index / len(orders[0])) / settings.epochs
            optimizer.param_groups[0]["lr"] = learning_rate(settings, progress)
            picked = torch.stack(batches).to(train.w.device)
            loss = members({name: _picked(tensor, picked) for name, tensor in known.items()}, progress)
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            if (largest := objectives[0].gradient_clip) is not None:
                members.clip(largest)
            optimizer.step()
        checked = members.validate(unseen, settings.batch_size)
        on_epoch(epoch, checked)
        for which, held_loss in enumerate(checked):
            if held_loss < best[which]:
                best[which] = held_loss
                members.give(which, objectives[which])
    return best


class _Members:
    """The objectives as one function of stacked weights."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.parameters, self.buffers = stack_module_state(list(objectives))
        self.trained = [p for p in self.parameters.values() if p.requires_grad]
        self.shape = copy.deepcopy(objectives[0]).to("meta")

    def __call__(self, rows: Rows, progress: float) -> Tensor:
        """The losses ``[M]`` of batches with tensors ``[M, N, …]``."""

        def loss(parameters: Rows, buffers: Rows, part: Rows) -> Tensor:
            return functional_call(self.shape, (parameters, buffers), (part, progress))["loss"]

        return vmap(loss)(self.parameters, self.buffers, rows)

    @torch.no_grad()
    def clip(self, largest: float) -> None:
        """Scale each member's gradient down to a norm of ``largest``, as ``clip_grad_norm_`` does for one."""
        gradients = [p.grad for p in self.trained if p.grad is not None]
        norm = torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients]).sum(dim=0).sqrt()
        share = (largest / (norm + 1e-6)).clamp_max(1.0)
        for gradient in gradients:
            gradient *= share.reshape(-1, *[1] * (gradient.ndim - 1))

    @torch.no_grad()
    def validate(self, rows: Rows, batch_size: int) -> list[float]:
        """The mean loss of each member over its rows."""
        count = next(iter(rows.values())).shape[1]
        total = torch.zeros(len(self.trained[0]), dtype=torch.float64)
        self.shape.eval()
        for first in range(0, count, batch_size):
            part = {name: tensor[:, first : first + batch_size] for name, tensor in rows.items()}
            total += self(part, 1.0).double().cpu() * next(iter(part.values())).shape[1]
        self.shape.train()
        return (total / count).tolist()

    @torch.no_grad()
    def give(self, which: int, objective: Objective) -> None:
        """Copy a member's weights, and what it has counted, into its own objective."""
        for name, parameter in objective.named_parameters():
            parameter.copy_(self.parameters[name][which])
        for name, buffer in objective.named_buffers():
            buffer.copy_(self.buffers[name][which])


def _stacked(rows: Sequence[Rows]) -> Rows:
    return {name: torch.stack([one[name] for one in rows]) for name in rows[0]}


def _picked(tensor: Tensor, rows: Tensor) -> Tensor:
    """Of each member ``[M, N, …]`` its own ``rows [M, B]``."""
    return tensor[torch.arange(len(rows), device=rows.device)[:, None], rows]
