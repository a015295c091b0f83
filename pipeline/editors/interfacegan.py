"""InterFaceGAN: one linear direction per attribute.

References:
    Shen, Yang, Tang, Zhou: InterFaceGAN: interpreting the disentangled face representation learned by GANs,
    arXiv 2005.09635; and arXiv 1907.10786.

Deviations:
    Continuous columns take the normal of a ridge regression instead of an SVM between their extremes, and
    strengths are in training standard deviations of the attribute instead of distances in w.
"""

from __future__ import annotations

__all__ = ["InterFaceGAN"]

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.attributes import nearest_name, same_attribute
from pipeline.editors.base import EditingData, Editor, FitContext, offsets
from pipeline.editors.settings import InterfaceGANParams
from pipeline.errors import PipelineError

Array = NDArray[np.float64]


class InterFaceGAN(Editor):
    """Adds a multiple of an attribute's direction; ``code = [predicted attributes | w]``.

    The predicted attributes are a ridge regression's, in training standard deviations. One unit of strength
    is the step along the direction that raises this prediction of the attribute by 1.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
    """

    kind = "interfacegan"
    center: Tensor
    readers: Tensor
    normals: Tensor
    steps: Tensor

    def __init__(self, columns: tuple[str, ...], w_dim: int) -> None:
        super().__init__()
        self.columns, self.w_dim = columns, w_dim
        self.register_buffer("center", torch.zeros(w_dim))
        for name in ("readers", "normals", "steps"):
            self.register_buffer(name, torch.zeros(len(columns), w_dim))

    @classmethod
    def build(
        cls, settings: InterfaceGANParams, data: EditingData, context: FitContext, seed: int
    ) -> InterFaceGAN:
        """Fit every direction in closed form or by scikit-learn; nothing is left to train."""
        binary = data.decided if settings.binary == "auto" else settings.binary
        for name in binary:
            if name not in data.columns:
                hint = nearest_name(name, data.columns)
                raise PipelineError(f"unknown attribute {name!r} in 'binary' of interfacegan: {hint}")
        editor = cls(data.columns, data.w.shape[1])
        center = data.w.double().mean(dim=0)
        x, attrs = (data.w.double() - center).cpu().numpy(), data.attrs.double().cpu().numpy()
        scale = float(np.sqrt(np.square(x).mean()))
        normal_attrs = (attrs - attrs.mean(axis=0)) / attrs.std(axis=0)
        readers = _ridge(x / scale, normal_attrs, settings.alpha * len(x)) / scale
        normals = _unit(
            np.stack(
                [
                    _svm_normal(x / scale, attrs[:, k], settings, seed) if name in binary else readers[k]
                    for k, name in enumerate(data.columns)
                ]
            )
        )
        same = same_attribute(data.columns)
        directions = _unit(_conditional(normals, same)) if settings.conditional else normals
        steps = directions / (readers * directions).sum(axis=1, keepdims=True)
        for name, value in {"center": center, "readers": readers, "normals": normals, "steps": steps}.items():
            getattr(editor, name).copy_(torch.as_tensor(value))
        return editor

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``[N, K + w_dim]``."""
        self.check(w)
        return torch.cat([self._read(w), w], dim=1)

    def decode(self, code: Tensor) -> Tensor:
        """``[N, K + w_dim]`` → w, with its predicted attributes moved, one by one, to the first K values."""
        w = code[:, len(self.columns) :]
        return w + (code[:, : len(self.columns)] - self._read(w)) @ self.steps.to(w.dtype)

    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """``w + strength · step``."""
        self.check(w)
        return w + offsets(strength, w) * self.steps[self.index(attribute)].to(w.dtype)

    def config(self) -> dict[str, Any]:
        """The constructor arguments, and the kind as ``architecture``."""
        return {"architecture": self.kind, "columns": list(self.columns), "w_dim": self.w_dim}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterFaceGAN:
        """The inverse of :meth:`config`."""
        return cls(tuple(config["columns"]), config["w_dim"])

    def _read(self, w: Tensor) -> Tensor:
        return (w - self.center.to(w.dtype)) @ self.readers.T.to(w.dtype)


def _unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _ridge(x: Array, attrs: Array, alpha: float) -> Array:
    """Regression coefficients ``[K, w_dim]``."""
    from sklearn.linear_model import Ridge  # takes seconds, and only this fit needs it

    return np.asarray(Ridge(alpha=alpha).fit(x, attrs).coef_).reshape(attrs.shape[1], -1)


def _svm_normal(x: Array, scores: Array, settings: InterfaceGANParams, seed: int) -> Array:
    """The normal ``[w_dim]`` of the boundary between the lowest and the highest scores."""
    from sklearn.svm import LinearSVC

    count = max(1, int(settings.confident_share * len(scores)))
    order = np.argsort(scores, kind="stable")
    rows = np.concatenate([order[:count], order[-count:]])
    labels = np.repeat([0, 1], count)
    return (
        LinearSVC(C=settings.C, dual="auto", random_state=seed, max_iter=5000).fit(x[rows], labels).coef_[0]
    )


def _conditional(normals: Array, same: NDArray[np.bool_]) -> Array:
    """Each normal without what those of other attributes span (arXiv 2005.09635, section 3.3)."""
    projected = []
    for normal, own in zip(normals, same, strict=True):
        others = normals[~own]
        projected.append(normal - others.T @ np.linalg.lstsq(others.T, normal, rcond=None)[0])
    return np.stack(projected)
