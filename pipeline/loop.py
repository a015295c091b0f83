"""The training loop: epochs over resident tensors, alone or as one of several ranks, resumable bit for bit.

Everything that happens in an epoch is a function of the state before it and of (seed, epoch): a loop that
continues from a saved state ends with the weights of one that was never stopped.
"""

from __future__ import annotations

__all__ = ["Loop", "LoopSettings", "batches_of", "count_of", "learning_rate", "part_of", "peak_mib"]

import math
import resource
import time
from collections import defaultdict
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.editors import EditingData, Objective
from pipeline.editors.base import Rows

State = dict[str, Any]


class LoopSettings(Protocol):
    """What the loop reads of an editor's settings: see the settings of each editor for the ranges."""

    @property
    def epochs(self) -> int:
        """Most epochs."""

    @property
    def batch_size(self) -> int:
        """Latents in a batch, over all ranks."""

    @property
    def learning_rate(self) -> float:
        """Of Adam, at the start."""

    @property
    def schedule(self) -> str:
        """``constant``, or ``cosine``: down to 0 at the last epoch."""

    @property
    def patience(self) -> int:
        """Epochs without a better validation loss after which training stops."""


def batches_of(rows: int, batch_size: int, seed: int, epoch: int) -> tuple[Tensor, ...]:
    """The batches of an epoch: a permutation by (seed, epoch), in parts of ``batch_size`` rows or a few more.

    No row is left out, and no batch is small: the rows that do not fill a batch are spread over the others.
    """
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(rows)
    return torch.from_numpy(order).tensor_split(max(1, rows // batch_size))


def count_of(rows: Rows) -> int:
    """How many rows there are."""
    return len(next(iter(rows.values())))


def part_of(rows: Rows, which: Tensor) -> Rows:
    """Some of the rows."""
    return {name: tensor[which] for name, tensor in rows.items()}


def peak_mib(device: torch.device) -> float:
    """The most memory that this process has taken so far, on the device, in MiB."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, 1)


def learning_rate(settings: LoopSettings, progress: float) -> float:
    """The learning rate as the schedule has it: constant, or half a cosine wave down to 0."""
    share = 0.5 * (1 + math.cos(math.pi * progress)) if settings.schedule == "cosine" else 1.0
    return settings.learning_rate * share


class Loop:
    """Training of one editor.

    Arguments:
        objective: the loss, on the device of the data; its editor is trained with it.
        forward: ``objective``, or what wraps it for data-parallel training.
        settings: epochs, batch size, learning rate and its schedule, patience.
        train: the training split, on the device.
        val: the validation split, on the device.
        seed: of the order of batches.
        rank: which part of every batch is computed here.
        ranks: how many parts there are.
    """

    def __init__(
        self,
        objective: Objective,
        forward: nn.Module,
        settings: LoopSettings,
        train: EditingData,
        val: EditingData,
        seed: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.objective, self.forward, self.settings = objective, forward, settings
        self.train, self.val, self.seed = objective.rows(train), objective.rows(val), seed
        self.device = train.w.device
        self.rank, self.ranks = rank, ranks
        self.trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=settings.learning_rate, fused=True)
        self.epoch, self.best_epoch, self.best_loss = 0, -1, math.inf
        self.best: State = {}
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none of the last ``patience`` ones was better than one before."""
        late = self.epoch - 1 - self.best_epoch >= self.settings.patience
        return self.epoch >= self.settings.epochs or (self.best_epoch >= 0 and late)

    def run_epoch(self) -> dict[str, float]:
        """Train for one epoch, validate, and give the new row of the history."""
        started = time.monotonic()
        torch.manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)  # for objectives that draw at random
        batches = batches_of(count_of(self.train), self.settings.batch_size, self.seed, self.epoch)
        self.forward.train()
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        for index, batch in enumerate(batches):
            progress = (self.epoch + index / len(batches)) / self.settings.epochs
            for name, value in self._step(batch, progress).items():
                sums[name] += value
        losses = {name: value / count_of(self.train) for name, value in self._over_ranks(sums).items()}
        checked = {f"val_{name}": value for name, value in self.validate().items()}
        self._keep_best(checked["val_loss"])
        row = {
            "epoch": self.epoch,
            **losses,
            **checked,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        cost = {
            "seconds": round(time.monotonic() - started, 4),
            "peak_mib": peak_mib(self.device),
            "workers": self.ranks,
        }
        self.history.append(row | cost)
        self.epoch += 1
        return self.history[-1]

    def _step(self, batch: Tensor, progress: float) -> dict[str, Tensor]:
        """One update; the losses of this rank's part, summed over its rows."""
        part, counted = self._part(batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings, progress)
        losses = self.forward(part_of(self.train, part), progress)
        self.optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over ranks; weighted by rows, that is the gradient of the batch's mean.
        (losses["loss"] * (counted * self.ranks / len(batch))).backward()
        if (largest := self.objective.gradient_clip) is not None:
            nn.utils.clip_grad_norm_(self.trained.values(), largest)
        self.optimizer.step()
        return {name: value.detach() * counted for name, value in losses.items()}

    def _part(self, batch: Tensor) -> tuple[Tensor, int]:
        """This rank's rows of a batch, and how many of them count.

        A rank for which no row is left takes one that counts nothing: all ranks take part in every step, and
        the mean over no rows is no number.
        """
        part = batch.tensor_split(self.ranks)[self.rank]
        return (part if len(part) else batch[:1]).to(self.device), len(part)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses on the validation split, as at the end of the training, so that epochs compare.

        All ranks get the same numbers, to the bit: by them each decides when to stop.
        """
        self.objective.eval()
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        sums: dict[str, Tensor] = defaultdict(zero.clone)
        count = count_of(self.val)
        for batch in torch.arange(count).split(self.settings.batch_size):
            part, counted = self._part(batch)
            for name, value in self.objective(part_of(self.val, part), 1.0).items():
                sums[name] += value.double() * counted
        return {name: value / count for name, value in self._over_ranks(sums).items()}

    def _over_ranks(self, sums: dict[str, Tensor]) -> dict[str, float]:
        total = torch.stack(list(sums.values()))
        if self.ranks > 1:
            dist.all_reduce(total)
        return dict(zip(sums, total.tolist(), strict=True))

    def _keep_best(self, loss: float) -> None:
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best = {
                name: t.detach().cpu().clone() for name, t in self.objective.editor.state_dict().items()
            }

    def load_best(self) -> None:
        """Give the editor the weights of the epoch with the least validation loss."""
        if self.best:
            self.objective.editor.load_state_dict(self.best)

    def state(self) -> State:
        """All that a continued training needs: tensors and plain values."""
        return {
            "trained": {name: p.detach() for name, p in self.trained.items()},
            "editor": self.objective.editor.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "history": self.history,
        }

    def restore(self, state: State) -> None:
        """Continue from :meth:`state`."""
        self.objective.editor.load_state_dict(state["editor"])
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.best_epoch, self.best_loss = state["epoch"], state["best_epoch"], state["best_loss"]
        self.best, self.history = state["best"], state["history"]
