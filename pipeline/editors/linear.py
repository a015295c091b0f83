"""What the editors share that take one straight step for each attribute: readers, steps, and how they edit.

A *reader* is a ridge regression's coefficients: it reads an attribute off a style vector. A *step* goes along
a method's own direction, as far as the attribute's reader needs to read one standard deviation more: this is
the unit of strength, whatever the direction.
"""

from __future__ import annotations

__all__ = ["Array", "LinearEditor", "TrainingSplit", "extremes"]

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.editors.base import EditingData, Editor, offsets, refuse_constant

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingSplit:
    """The training split as closed forms take it.

    Attributes:
        columns: the K attributes.
        center: mean style vector ``[w_dim]``.
        x: centred style vectors ``[N, w_dim]`` of unit mean square: damping means the same for any generator.
        attrs: raw labeler outputs ``[N, K]``.
        readers: coefficients ``[K, w_dim]``: standard deviations of an attribute for a unit of w.
    """

    columns: tuple[str, ...]
    center: Array
    x: Array
    attrs: Array
    readers: Array

    @classmethod
    def of(cls, data: EditingData, alpha: float) -> TrainingSplit:
        """The split ``data`` with its readers.

        Arguments:
            data: the training split.
            alpha: damping of the ridge regression as a share of the mean variance of w.

        Raises:
            PipelineError: for an attribute with one value throughout.
        """
        center = data.w.double().mean(dim=0)
        x, attrs = (data.w.double() - center).cpu().numpy(), data.attrs.double().cpu().numpy()
        refuse_constant(data.columns, attrs.std(axis=0))
        scale = float(np.sqrt(np.square(x).mean()))
        normal_attrs = (attrs - attrs.mean(axis=0)) / attrs.std(axis=0)
        readers = _ridge(x / scale, normal_attrs, alpha * len(x)) / scale
        return cls(data.columns, center.cpu().numpy(), x / scale, attrs, readers)


class LinearEditor(Editor):
    """Adds a multiple of an attribute's step; ``code = [read attributes | w]``.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
    """

    center: Tensor
    readers: Tensor
    steps: Tensor

    def __init__(self, columns: tuple[str, ...], w_dim: int) -> None:
        super().__init__()
        self.columns, self.w_dim = columns, w_dim
        self.register_buffer("center", torch.zeros(w_dim))
        for name in ("readers", "steps"):
            self.register_buffer(name, torch.zeros(len(columns), w_dim))

    @classmethod
    def along(cls, directions: Array, split: TrainingSplit) -> Self:
        """The editor whose steps go along ``directions [K, w_dim]``, of any length."""
        editor = cls(split.columns, len(split.center))
        steps = directions / (split.readers * directions).sum(axis=1, keepdims=True)
        for name, value in {"center": split.center, "readers": split.readers, "steps": steps}.items():
            getattr(editor, name).copy_(torch.as_tensor(value))
        return editor

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``[N, K + w_dim]``."""
        self.check(w)
        return torch.cat([self._read(w), w], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        """``[N, K + w_dim]`` → w, with its read attributes moved, one by one, to the first K values."""
        w = code[:, len(self.columns) :]
        return w + (code[:, : len(self.columns)] - self._read(w)) @ self.steps.to(w.dtype)

    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """``w + strength · step``."""
        self.check(w)
        return w + offsets(strength, w) * self.steps[self.index(attribute)].to(w.dtype)

    def _read(self, w: Tensor) -> Tensor:
        return (w - self.center.to(w.dtype)) @ self.readers.T.to(w.dtype)


def extremes(scores: Array, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows with the lowest and with the highest ``scores [N]``, this ``share`` of all each, at least one.

    Of rows with equal scores the earlier ones count as lower.
    """
    count = max(1, int(share * len(scores)))
    order = np.argsort(scores, kind="stable")
    return order[:count], order[-count:]


def _ridge(x: Array, attrs: Array, alpha: float) -> Array:
    """Regression coefficients ``[K, w_dim]``."""
    from sklearn.linear_model import Ridge  # takes seconds, and only this fit needs it

    return np.asarray(Ridge(alpha=alpha).fit(x, attrs).coef_).reshape(attrs.shape[1], -1)
