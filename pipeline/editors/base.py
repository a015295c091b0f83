"""What an editor is, and what it needs to be trained."""

from __future__ import annotations

__all__ = ["EditingData", "Editor", "FitContext", "Objective", "Rows", "offsets", "refuse_constant"]

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from pipeline.attributes import nearest_name
from pipeline.editors.style_layers import StyleLayers, layer_runs, layer_slice
from pipeline.errors import PipelineError
from pipeline.generators.base import Generator, per_layer
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
        gradient_clip: largest norm of a step's gradient over all weights together; ``None`` for any.
    """

    editor: Editor
    gradient_clip: float | None = None

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
        arguments: what the constructor takes beside ``columns``; attributes of the same names hold it.
        columns: the K editable columns: an attribute, or a class of a categorical one.
        w_dim: width of the style vector.
        style_layers: for single attributes the style inputs that their edits change, the first and the last
            of 18; the others' change all. Names that ``columns`` does not have have no effect.
    """

    kind: ClassVar[str]
    arguments: ClassVar[tuple[str, ...]] = ("w_dim",)
    columns: tuple[str, ...]
    w_dim: int
    style_layers: StyleLayers = MappingProxyType({})

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

    @classmethod
    def shares_batches(cls, settings: Any) -> bool:  # noqa: ANN401
        """Whether the loss of a batch is the mean of its rows' own, so that workers may share its rows."""
        return True

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

    def edit_styles(self, styles: Tensor, attribute: str, strength: float | Tensor, num_ws: int) -> Tensor:
        """Move one attribute in those style inputs of a generator that it is restricted to.

        Arguments:
            styles: style vectors ``[N, w_dim]``, or per layer ``[N, num_ws, w_dim]``; each layer is edited as
                a style vector of its own.
            attribute: one of ``columns``.
            strength: a number, or ``[N]``.
            num_ws: number of the generator's style inputs.

        Returns:
            ``[N, num_ws, w_dim]``, with the layers outside the attribute's range as they were; for style
            vectors and an attribute without a range, what :meth:`edit` gives.
        """
        places = self.style_layers.get(attribute.partition(".")[0])  # of a class, its attribute's
        if styles.ndim == 2 and places is None:
            return self.edit(styles, attribute, strength)
        ws = per_layer(styles, num_ws)
        layers = layer_slice(places, num_ws) if places else slice(0, num_ws)
        inside = ws[:, layers]
        starts, run = layer_runs(inside)  # equal layers are edited once
        strengths = offsets(strength, ws).expand(-1, len(starts)).flatten()
        edited = self.edit(inside[:, starts].flatten(0, 1), attribute, strengths)
        edited = edited.unflatten(0, (len(ws), len(starts)))[:, run]
        return torch.cat([ws[:, : layers.start], edited, ws[:, layers.stop :]], dim=1)

    def edit_rows(self, styles: Tensor, column: Tensor, strength: Tensor, num_ws: int) -> Tensor:
        """Each row of ``styles`` with its own attribute moved, as :meth:`edit_styles` does it.

        Arguments:
            styles: ``[N, w_dim]`` or ``[N, num_ws, w_dim]``.
            column: the places of attributes in ``columns``, ``[N]``.
            strength: ``[N]``.
            num_ws: number of the generator's style inputs.

        Returns:
            ``[N, num_ws, w_dim]`` if the editor is :attr:`restricted`, otherwise the shape of ``styles``.
        """
        edited = (per_layer(styles, num_ws) if self.restricted else styles).clone()
        for k in column.unique().tolist():
            rows = column == k
            moved = strength[rows].to(styles)
            edited[rows] = self.edit_styles(edited[rows], self.columns[k], moved, num_ws)
        return edited

    @property
    def restricted(self) -> bool:
        """Whether edits of any attribute change only some style inputs, and so give per-layer styles."""
        return any(column.partition(".")[0] in self.style_layers for column in self.columns)

    def config(self) -> dict[str, Any]:
        """The content of ``config.json``: ``architecture`` (the kind) and the constructor arguments."""
        arguments = {name: getattr(self, name) for name in self.arguments}
        return {"architecture": self.kind, "columns": list(self.columns), **arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An untrained editor of the shape that :meth:`config` describes."""
        arguments = {name: value for name, value in config.items() if name != "architecture"}
        return cls(**{**arguments, "columns": tuple(config["columns"])})

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


def refuse_constant(columns: Sequence[str], deviations: Iterable[float]) -> None:
    """Refuse an attribute without a standard deviation above 0.

    Raises:
        PipelineError: naming the first one.
    """
    for column, deviation in zip(columns, deviations, strict=True):
        if not deviation > 0:
            raise PipelineError(
                f"expected different labels of {column!r}, got one value throughout: drop the attribute"
            )
