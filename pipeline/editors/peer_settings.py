"""The settings of the editors that StyleAE is compared with, but for those with a file of their own."""

from __future__ import annotations

__all__ = ["DisentanglerParams", "MeanDifferenceParams", "PartialEffectParams", "RidgeParams"]

from dataclasses import dataclass
from typing import Literal

from pipeline.sections import require


@dataclass(frozen=True, kw_only=True, slots=True)
class RidgeParams:
    """Ridge: a regression's own direction for each attribute.

    Attributes:
        kind: the method.
        alpha: damping of the regression as a share of the mean variance of w.
    """

    kind: Literal["ridge"] = "ridge"
    alpha: float = 0.2

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "alpha", at_least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanDifferenceParams:
    """Mean difference: from the mean style vector without an attribute to the mean one with it.

    Attributes:
        kind: the method.
        share: share of the training split at either end of an attribute, in (0, 0.5]; 0.5 splits it at the
            median.
        alpha: damping, as a share of the mean variance of w, of the regression that strengths are counted by.
    """

    kind: Literal["mean_difference"] = "mean_difference"
    share: float = 0.5
    alpha: float = 0.2

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "share", above=0, at_most=0.5)
        require(self, "alpha", at_least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartialEffectParams:
    """Partial effect: how styles differ that differ in one attribute alone.

    Attributes:
        kind: the method.
        alpha: damping, as a share of the mean variance of w, of the regression that strengths are counted by.
    """

    kind: Literal["partial_effect"] = "partial_effect"
    alpha: float = 0.2

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "alpha", at_least=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class DisentanglerParams:
    """Disentangler: an autoencoder of principal components whose code is decorrelated.

    Attributes:
        kind: the method.
        components: principal components of w that are encoded, 1 to w_dim and as many as there are attributes
            or more; the others pass through.
        layers: linear layers of the encoder, and of the decoder.
        width: units of a hidden layer (paper: 512).
        attribute_weight: weight of the mean squared error of the attribute coordinates.
        decorrelation_weight: weight of the mean absolute correlation of two different coordinates; less, and
            the decoder finds the attributes in the other coordinates, too, and edits show less.
        epochs: most epochs of training (paper: 150).
        batch_size: latents in a batch over all workers (paper: 256); correlations are those of a batch, and
            chance alone makes them about ``0.8 / √batch_size``.
        learning_rate: of Adam (paper: 2e-4).
        schedule: ``constant`` (the paper), or ``cosine``: down to 0 at the last epoch.
        patience: epochs without a better validation loss after which training stops.
    """

    kind: Literal["disentangler"] = "disentangler"
    components: int = 60
    layers: int = 8
    width: int = 512
    attribute_weight: float = 0.3
    decorrelation_weight: float = 10.0
    epochs: int = 150
    batch_size: int = 256
    learning_rate: float = 2e-4
    schedule: Literal["constant", "cosine"] = "constant"
    patience: int = 20

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "components", "layers", "width", "epochs", "patience", at_least=1)
        require(self, "batch_size", at_least=2)
        require(self, "attribute_weight", "decorrelation_weight", at_least=0)
        require(self, "learning_rate", above=0)
