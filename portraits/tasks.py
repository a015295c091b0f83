"""What the classifiers of the embedded domain learn: networks with their losses, augmentation and scores.

Labeler and judge read every factor of a portrait. The identity embedding is contrastive (NT-Xent, arXiv
2002.05709): two portraits of a person, who keeps the factors of ``portraits.renders.PERSON`` while the
eight attributes and the scene are drawn anew, attract each other and repel all others of the batch.
"""

from __future__ import annotations

__all__ = [
    "AttributeTask",
    "IdentityTask",
    "Task",
    "attribute_loss",
    "augment",
    "build_task",
    "contrastive_loss",
    "in_batches",
    "score_attributes",
]

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.attributes import Attribute
from pipeline.labelers import ConvEmbedder, ConvNet, Embedder, Labeler, ResNet
from portraits.factors import ATTRIBUTES, FACTORS, INDEX
from portraits.measures import accuracy, auc, spearman
from portraits.renders import PERSON, Renders

ALIASES = {"expression": "smile"}
TEMPERATURE = 0.1  # of the contrastive loss
NUISANCE_WEIGHT = 0.5  # in the loss; the eight attributes weigh 1
READING_WEIGHT = 0.5  # of the identity's auxiliary loss


class Task(nn.Module, ABC):
    """A network with what it takes to train and to score it."""

    network: Labeler | Embedder
    group = 1  # rows that belong together in a batch

    @abstractmethod
    def forward(self, img: Tensor, factors: Tensor) -> Tensor:
        """The loss of a batch of images ``[N, 3, R, R]`` with their factors ``[N, D]``."""

    @abstractmethod
    def score(self, renders: Renders, rows: Tensor) -> dict[str, Any]:
        """Scores on some rows, ready for JSON."""

    def batches(self, count: int, size: int, generator: torch.Generator) -> Iterable[Tensor]:
        """Rows below ``count`` in random order, whole batches only; groups stay together."""
        groups = torch.randperm(count // self.group, generator=generator)
        rows = (groups[:, None] * self.group + torch.arange(self.group)).flatten()
        return (part for part in rows.split(size) if len(part) == size)


class AttributeTask(Task):
    """All factors, each as one attribute."""

    network: ConvNet | ResNet

    def __init__(self, network: ConvNet | ResNet, factors: Tensor) -> None:
        """A fresh network; ``factors [N, D]`` of the training rows set the units of continuous attributes."""
        super().__init__()
        self.network = network
        continuous = torch.tensor([f.kind == "continuous" for f in FACTORS])
        self.network.shift.copy_(factors.mean(dim=0).where(continuous, torch.zeros([])))
        self.network.scale.copy_(factors.std(dim=0).where(continuous, torch.ones([])))

    def forward(self, img: Tensor, factors: Tensor) -> Tensor:
        """The mean over factors of :func:`attribute_loss`, the eight attributes weighing most."""
        return attribute_loss(self.network(img), factors, self.network.scale)

    def score(self, renders: Renders, rows: Tensor) -> dict[str, Any]:
        """Scores of portraits as they are, and of those whose correlations are broken."""
        even = rows % 2 == 0
        kinds = {"natural": rows[even], "shuffled": rows[~even]}
        return {kind: score_attributes(self.network, renders, part) for kind, part in kinds.items()}


class IdentityTask(Task):
    """An embedding of the person; a linear reading of the personal factors beside it helps it learn."""

    network: ConvEmbedder
    group = 2

    def __init__(self, factors: Tensor) -> None:
        """A fresh network; ``factors [N, D]`` of the training rows set the units of the reading."""
        super().__init__()
        self.network = ConvEmbedder()
        self.person = [INDEX[name] for name in PERSON]
        self.reading = nn.Linear(self.network.dimensions, len(PERSON))
        self.shift, self.scale = factors[:, self.person].mean(dim=0), factors[:, self.person].std(dim=0)

    def forward(self, img: Tensor, factors: Tensor) -> Tensor:
        """Contrastive loss of the pairs, and the squared error of the reading in standard deviations."""
        code = self.network.project(img)
        person = (factors[:, self.person] - self.shift) / self.scale
        reading = F.mse_loss(self.reading(code), person)
        return contrastive_loss(F.normalize(code, dim=1)) + READING_WEIGHT * reading

    def score(self, renders: Renders, rows: Tensor) -> dict[str, Any]:
        """Similarity of the portraits of one person and of different people."""
        code = in_batches(self.network, renders, rows)
        similarity = code[0::2] @ code[1::2].T
        people = len(similarity)
        same, different = similarity.diagonal(), similarity[~torch.eye(people, dtype=torch.bool)]
        return {
            "people": people,
            "same_mean": same.mean().item(),
            "same_std": same.std().item(),
            "different_mean": different.mean().item(),
            "different_std": different.std().item(),
            "auc": auc(same, different),
            "found_first": (similarity.argmax(dim=1) == torch.arange(people)).double().mean().item(),
        }


def attribute_loss(outputs: Tensor, factors: Tensor, scale: Tensor) -> Tensor:
    """Cross-entropy of binary factors, squared error of the others in units of ``scale [D]``: their mean."""
    losses = [
        F.binary_cross_entropy_with_logits(outputs[:, i], (factors[:, i] > 0.5).float())
        if f.kind == "binary"
        else ((outputs[:, i] - factors[:, i]) / scale[i]).square().mean()
        for i, f in enumerate(FACTORS)
    ]
    weights = torch.tensor([1.0 if f.name in ATTRIBUTES else NUISANCE_WEIGHT for f in FACTORS])
    return (torch.stack(losses) * weights).sum() / weights.sum()


def contrastive_loss(code: Tensor) -> Tensor:
    """NT-Xent of unit vectors ``[2n, E]`` in which rows 2i and 2i + 1 belong together: a scalar."""
    rows = torch.arange(len(code))
    logits = (code @ code.T / TEMPERATURE).masked_fill(torch.eye(len(code), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, rows ^ 1)


def augment(img: Tensor, generator: torch.Generator) -> Tensor:
    """What a generator may do to ``img [N, 3, R, R]``: blur or sharpen, noise, another contrast and tint.

    Pictures are not mirrored: yaw, light and parting have a sign.
    """

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(len(img), channels, 1, 1, generator=generator)

    if torch.rand([], generator=generator) < 0.5:
        soft = F.avg_pool2d(F.pad(img, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    else:
        soft = F.interpolate(F.avg_pool2d(img, 2), scale_factor=2.0, mode="bilinear")
    img = torch.lerp(img, soft, uniform(-0.3, 1.0))
    img = img + uniform(0.0, 0.06) * torch.randn(img.shape, generator=generator)
    return img * uniform(0.9, 1.1) + uniform(-0.04, 0.04, channels=3)


def in_batches(network: Callable[[Tensor], Tensor], renders: Renders, rows: Tensor) -> Tensor:
    """What a network says about some rows."""
    with torch.no_grad():
        return torch.cat([network(renders.batch(part)) for part in rows.split(250)])


def score_attributes(network: Labeler, renders: Renders, rows: Tensor) -> dict[str, Any]:
    """Accuracy of every binary factor; Spearman correlation and RMSE, in its own unit, of every other."""
    outputs, factors = in_batches(network, renders, rows), renders.factors[rows]
    scores: dict[str, Any] = {}
    for i, f in enumerate(FACTORS):
        said, true = outputs[:, i], factors[:, i]
        if f.kind == "binary":
            scores[f.name] = {"accuracy": accuracy(said, true)}
        else:
            scores[f.name] = {"spearman": spearman(said, true), "rmse": F.mse_loss(said, true).sqrt().item()}
    return scores


def build_task(role: str, seed: int, factors: Tensor) -> Task:
    """A fresh network for ``role`` whose weights depend on the seed alone.

    Arguments:
        role: ``labeler``, ``judge`` or ``identity``.
        seed: of the initial weights.
        factors: ``[N, D]`` of the training rows.
    """
    torch.manual_seed(seed)
    if role == "identity":
        return IdentityTask(factors)
    attributes = [Attribute(name=f.name, kind=f.kind, alias=ALIASES.get(f.name)) for f in FACTORS]
    return AttributeTask(ConvNet(attributes) if role == "labeler" else ResNet(attributes), factors)
