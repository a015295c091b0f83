"""InterFaceGAN: one linear direction per attribute.

References:
    Shen, Yang, Tang, Zhou: InterFaceGAN: interpreting the disentangled face representation learned by GANs,
    arXiv 2005.09635; and arXiv 1907.10786.

Deviations:
    Strengths are in training standard deviations of the attribute instead of distances in w. By default,
    continuous columns take the normal of a ridge regression instead of an SVM between their extremes, the SVM
    is damped more and sees a fifth of the samples at either end, and normals are projected: each makes better
    edits here. ``conf/editor/interfacegan_paper.yaml`` has the published choices.
"""

from __future__ import annotations

__all__ = ["InterFaceGAN"]

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.attributes import nearest_name, same_attribute
from pipeline.editors.base import EditingData, FitContext
from pipeline.editors.linear import Array, LinearEditor, TrainingSplit, extremes
from pipeline.editors.settings import InterfaceGANParams
from pipeline.errors import PipelineError


class InterFaceGAN(LinearEditor):
    """Steps along the normals of boundaries between the samples, each projected off the others' normals.

    See :class:`pipeline.editors.linear.LinearEditor` for the arguments.

    Attributes:
        normals: unit normals before the projection, ``[K, w_dim]``.
    """

    kind = "interfacegan"
    normals: Tensor

    def __init__(self, columns: tuple[str, ...], w_dim: int) -> None:
        super().__init__(columns, w_dim)
        self.register_buffer("normals", torch.zeros(len(columns), w_dim))

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
        split = TrainingSplit.of(data, settings.alpha)
        normals = _unit(
            np.stack(
                [
                    _svm_normal(split.x, split.attrs[:, k], settings, seed)
                    if name in binary
                    else split.readers[k]
                    for k, name in enumerate(data.columns)
                ]
            )
        )
        same = same_attribute(data.columns)
        editor = cls.along(_unit(_conditional(normals, same)) if settings.conditional else normals, split)
        editor.normals.copy_(torch.as_tensor(normals))
        return editor


def _unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _svm_normal(x: Array, scores: Array, settings: InterfaceGANParams, seed: int) -> Array:
    """The normal ``[w_dim]`` of the boundary between the lowest and the highest scores."""
    from sklearn.svm import LinearSVC

    low, high = extremes(scores, settings.confident_share)
    rows, labels = np.concatenate([low, high]), np.repeat([0, 1], len(low))
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
