"""The settings of the two editors that are normalising flows: what stands under ``editor.<name>``."""

from __future__ import annotations

__all__ = ["PluGeNParams", "StyleFlowParams"]

from dataclasses import dataclass, field
from typing import Literal

from pipeline.editors.style_layers import StyleLayers, require_layers
from pipeline.sections import require


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleFlowParams:
    """StyleFlow; the values given as "paper" are the published recipe.

    Attributes:
        kind: the method.
        normalise: what styles go through before the flow: ``scale`` for unit variance of each coordinate (the
            paper), or ``whiten`` for no correlations between them either.
        layers: of the network that gives the flow's velocity (paper: 6).
        width: units of its hidden layers (paper: 512).
        solver: how the flow is integrated, in training and in use: ``dopri5`` in steps that hold a tolerance
            of 1e-5 (the paper; cannot train several seeds at once), or ``rk4`` or ``midpoint`` in ``steps``
            equal ones, at 4 and 2 evaluations of the network each.
        steps: of ``rk4`` and ``midpoint``; see :func:`pipeline.editors.style_flow.solver_error`.
        divergence: how the change of volume is measured in training: ``hutchinson``, an estimate from one
            random direction for each row (the paper), or ``exact``, at the cost of w_dim directions.
        style_layers: for single attributes the style inputs that their edits change, the first and the last
            of 18, scaled to the generator's number; the others' change all (paper: the ranges of
            ``conf/editor/styleflow_layers.yaml``). Training does not know of it. Names that the labeler does
            not have have no effect.
        epochs: most epochs of training.
        batch_size: latents in a batch over all workers (paper: 5).
        learning_rate: of Adam (paper: 1e-3).
        schedule: ``constant`` (the paper), or ``cosine``: down to 0 at the last epoch.
        patience: epochs without a better validation loss after which training stops.
    """

    kind: Literal["style_flow"] = "style_flow"
    normalise: Literal["scale", "whiten"] = "whiten"
    layers: int = 6
    width: int = 512
    solver: Literal["dopri5", "rk4", "midpoint"] = "rk4"
    steps: int = 3
    divergence: Literal["exact", "hutchinson"] = "hutchinson"
    style_layers: StyleLayers = field(default_factory=dict)
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    patience: int = 10

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "layers", at_least=2)
        require(self, "width", "steps", "epochs", "batch_size", "patience", at_least=1)
        require(self, "learning_rate", above=0)
        require_layers(self.style_layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class PluGeNParams:
    """PluGeN; the values given as "paper" are the published recipe.

    Attributes:
        kind: the method.
        couplings: additive coupling layers, 2 or more so that each half of w is changed (paper: 4).
        layers: linear layers in the network of a coupling (paper: 4).
        width: units of its hidden layers (paper: 512).
        sigma: standard deviation of an attribute's coordinate around the attribute at the start of the
            training, in training standard deviations (paper: 0.4).
        sigma_decay: what ``sigma`` is multiplied by in each epoch, in (0, 1] (paper: 0.999).
        gradient_clip: largest norm of a step's gradient (paper: 1).
        epochs: most epochs of training.
        batch_size: latents in a batch over all workers (paper: 32).
        learning_rate: of Adam (paper: 1e-4).
        schedule: ``constant`` (the paper), or ``cosine``: down to 0 at the last epoch.
        patience: epochs without a better validation loss after which training stops.
    """

    kind: Literal["plugen"] = "plugen"
    couplings: int = 4
    layers: int = 4
    width: int = 512
    sigma: float = 0.4
    sigma_decay: float = 0.999
    gradient_clip: float = 1.0
    epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    patience: int = 10

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "couplings", "layers", at_least=2)
        require(self, "width", "epochs", "batch_size", "patience", at_least=1)
        require(self, "sigma", "gradient_clip", "learning_rate", above=0)
        require(self, "sigma_decay", above=0, at_most=1)
