"""The training loop that teaches a generator the renderer, one step at a time, resumable bit for bit."""

from __future__ import annotations

__all__ = ["BATCH", "Distiller", "Phase", "generate", "learning_rate"]

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.weights import save_weights
from portraits.corpus import Corpus, sample_z
from portraits.losses import distillation_loss, psnr

BATCH = 32
LEARNING_RATE = 4e-3
WARMUP = 2_000  # images
EMA_HALF_LIFE = 10_000  # images
MEAN_SEED, MEAN_COUNT = 1_234, 10_000


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of training at one resolution; its budget counts images, or seconds."""

    resolution: int
    budget: float
    unit: str = "images"


def learning_rate(progress: float, images: int, last: bool) -> float:
    """Constant after a short warm-up; in the last phase it falls to zero linearly."""
    decay = 1.0 - min(progress, 1.0) if last else 1.0
    return LEARNING_RATE * decay * min(1.0, (images + BATCH) / WARMUP)


class Distiller:
    """The state of a training run: the generator, its moving average, the optimiser, and how far it has come.

    Arguments:
        corpus: what it learns.
        phases: in order.
        generator: where it starts.
        seed: of the order of the pictures.
        rank: which of the processes this is; all hold the same state at every step.
        world: number of processes.
    """

    def __init__(
        self,
        corpus: Corpus,
        phases: Sequence[Phase],
        generator: StyleGAN2,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.corpus, self.phases, self.seed, self.rank, self.world = corpus, list(phases), seed, rank, world
        self.generator = generator.train()
        self.average = copy.deepcopy(generator).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99), fused=True)
        self.phase, self.images, self.total_images, self.seconds = 0, 0, 0, 0.0
        self._last_step = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether every phase has used up its budget."""
        return self.phase == len(self.phases)

    def step(self) -> float:
        """Train on one batch and return its loss."""
        phase = self.phases[self.phase]
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self._progress(), self.images, self.phase == len(self.phases) - 1)
        z, target = self.corpus.batch(self._rows().chunk(self.world)[self.rank], phase.resolution)
        loss = distillation_loss(generate(self.generator, z, phase.resolution), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        now = time.monotonic()
        mean_loss, seconds = self._average_gradients(loss.item(), now - self._last_step)
        self._last_step = now
        self.optimizer.step()
        self._follow()
        self._count(seconds)
        return mean_loss

    @torch.no_grad()
    def held_out_psnr(self, resolution: int) -> float:
        """Mean PSNR in dB of the averaged generator on pictures that it never saw."""
        rows = torch.arange(self.corpus.train_size, len(self.corpus.z))[self.rank :: self.world]
        pairs = (self.corpus.batch(part, resolution) for part in rows.split(BATCH))
        values = torch.cat([psnr(generate(self.average, z, resolution), target) for z, target in pairs])
        total, count = self._sum(torch.tensor([values.sum(), float(len(values))])).tolist()
        return total / count

    @torch.no_grad()
    def save(self, folder: Path) -> None:
        """Write the averaged generator as a network folder, its mean style measured afresh."""
        z = sample_z(MEAN_COUNT, MEAN_SEED)
        self.average.w_avg.copy_(self.average.mapping(z).mean(dim=0))
        save_weights(folder, self.average.state_dict(), self.average.config())

    def state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on bit for bit (with budgets in images)."""
        return {
            "generator": self.generator.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": [self.phase, self.images, self.total_images, self.seconds],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up what :meth:`state` returned."""
        self.generator.load_state_dict(state["generator"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.phase, self.images, self.total_images, self.seconds = state["counters"]

    def _progress(self) -> float:
        phase = self.phases[self.phase]
        return (self.images if phase.unit == "images" else self.seconds) / phase.budget

    def _rows(self) -> Tensor:
        """The next batch: every epoch is a permutation that depends on the seed and its number alone."""
        per_epoch = self.corpus.train_size // BATCH
        epoch, batch = divmod(self.total_images // BATCH, per_epoch)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        return torch.randperm(self.corpus.train_size, generator=generator)[
            batch * BATCH : (batch + 1) * BATCH
        ]

    def _average_gradients(self, *scalars: float) -> list[float]:
        """Average gradients, and some numbers on which all must agree, over the processes."""
        gradients = [p.grad for p in self.generator.parameters() if p.grad is not None]
        if self.world == 1:
            return list(scalars)
        flat = self._sum(torch.cat([*(g.flatten() for g in gradients), torch.tensor(scalars)])) / self.world
        *parts, means = flat.split([*(g.numel() for g in gradients), len(scalars)])
        torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])
        return means.tolist()

    def _sum(self, values: Tensor) -> Tensor:
        """Over the processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average toward the generator, quickly at first."""
        half_life = min(EMA_HALF_LIFE, max(self.total_images, BATCH) * 0.2)
        for average, current in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            average.lerp_(current, 1 - 0.5 ** (BATCH / half_life))

    def _count(self, seconds: float) -> None:
        self.images, self.total_images, self.seconds = (
            self.images + BATCH,
            self.total_images + BATCH,
            self.seconds + seconds,
        )
        if self._progress() >= 1.0:
            self.phase, self.images, self.seconds = self.phase + 1, 0, 0.0


def generate(generator: StyleGAN2, z: Tensor, resolution: int) -> Tensor:
    """Images ``[N, 3, resolution, resolution]`` of ``z``, without noise per pixel: the renderer has none."""
    return generator.synthesis(generator.broadcast(generator.mapping(z)), "none", resolution)
