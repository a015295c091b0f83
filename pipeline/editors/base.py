"""What an editor is, and what it needs to be trained."""

from __future__ import annotations

__all__ = ["EditingData", "Editor", "FitContext", "Objective", "Rows"]

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.generators.base import Generator
from pipeline.generators.low_rank import Metric

Rows = dict[str, Tensor]
"""Tensors of the same length: what an objective needs of each row."""


@dataclass(frozen=True, slots=True)
class EditingData:
    """Style vectors with the labeler's outputs.

    Attributes:
        w: style vectors ``[N, w_dim]``.
        attrs: raw labeler outputs ``[N, K]``.
        columns: the K column names of ``attrs``.
        decided: which of them are decisions, a logit or a class's score, rather than values.
    """

    w: Tensor
    attrs: Tensor
    columns: tuple[str, ...]
    decided: tuple[str, ...] = ()


@dataclass(frozen=True)
class FitContext:
    """Frozen things that some editors need for training; each is loaded on first use.

    Attributes:
        load_generator: loads the generator.
        load_metric: loads the pull-back metric ``[w_dim, w_dim]`` (mean squared pixel change per unit of w).
    """

    load_generator: Callable[[], Generator]
    load_metric: Callable[[], Metric]

    @cached_property
    def generator(self) -> Generator:
        """The frozen generator."""
        return self.load_generator()

    @cached_property
    def metric(self) -> Metric:
        """The pull-back metric ``M = E[JᵀJ] / (3·H·W)``, positive semi-definite, ``[w_dim, w_dim]``."""
        return self.load_metric()


class Objective(nn.Module, ABC):
    """The training loss of an editor: a module, so that data-parallel training can wrap it.

    Attributes:
        editor: the editor that is trained, a sub-module.
    """

    editor: Editor

    def rows(self, data: EditingData) -> Rows:
        """What the loss needs of each row, computed once for a whole split, before the training."""
        return {"w": data.w, "attrs": data.attrs}

    @abstractmethod
    def forward(self, rows: Rows, progress: float) -> dict[str, Tensor]:
        """Scalar losses of one batch: ``"loss"`` is minimised, the others are its named parts.

        Arguments:
            rows: some of what :meth:`rows` gave.
            progress: the share of the training that is done, in [0, 1].
        """


class Editor(nn.Module, ABC):
    """Changes one attribute of a style vector and keeps the rest.

    ``strength`` is in the editor's own unit: one unit is one standard deviation of the attribute over the
    training split, as far as the editor knows it; 0 is the identity up to reconstruction.

    Attributes:
        kind: the name of the method in ``params.yaml`` and ``config.json``.
        columns: the K editable columns: an attribute, or a class of a categorical one.
        w_dim: width of the style vector.
    """

    kind: ClassVar[str]
    columns: tuple[str, ...]
    w_dim: int

    @classmethod
    @abstractmethod
    def build(cls, settings: Any, data: EditingData, context: FitContext, seed: int) -> Editor:  # noqa: ANN401
        """A new editor for the training split ``data``; a closed-form method is finished after this.

        Arguments:
            settings: the editor's own section of the parameters (a dataclass of ``pipeline.config``).
            data: the training split alone: every normalisation comes from it.
            context: frozen networks, loaded when needed.
            seed: seeds the initial weights.
        """

    def objective(self, settings: Any, context: FitContext) -> Objective | None:  # noqa: ANN401
        """The loss to minimise, or ``None`` for a method in closed form."""
        return None

    @abstractmethod
    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``code [N, C]``; the first coordinates are the attributes, in training σ."""

    @abstractmethod
    def decode(self, code: Tensor) -> Tensor:
        """``code [N, C]`` → ``w [N, w_dim]``."""

    @abstractmethod
    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """Move one attribute by ``strength`` (a number, or ``[N]``); batch, dtype and device are kept."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture`` (the kind) and the constructor arguments."""

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any]) -> Editor:
        """An untrained editor of the shape that :meth:`config` describes."""

    def index(self, attribute: str) -> int:
        """The code coordinate of an attribute.

        Raises:
            PipelineError: for an unknown attribute, with the nearest known name.
        """
        if attribute not in self.columns:
            raise PipelineError(f"unknown attribute {attribute!r}: {nearest_name(attribute, self.columns)}")
        return self.columns.index(attribute)

    def check(self, w: Tensor) -> None:
        """Refuse style vectors of a shape that the editor was not made for."""
        if w.ndim != 2 or w.shape[1] != self.w_dim:
            raise PipelineError(
                f"expected w of shape [N, {self.w_dim}], got {list(w.shape)}: "
                "reduce ws to one style vector per image first"
            )


def offsets(strength: float | Tensor, w: Tensor) -> Tensor:
    """A strength as a column ``[N, 1]`` of the dtype and device of ``w``."""
    values = torch.as_tensor(strength, dtype=w.dtype, device=w.device)
    return values.reshape(-1, 1).expand(len(w), 1)
