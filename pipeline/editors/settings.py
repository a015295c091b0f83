"""The settings of each editor: what stands under ``editor.<name>`` in the parameters."""

from __future__ import annotations

__all__ = ["InterfaceGANParams", "StyleAEParams"]

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.editors.style_layers import StyleLayers, require_layers
from pipeline.sections import require


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleAEParams:
    """StyleAE; with every optional term at its documented "paper" value this is the published recipe.

    Attributes:
        kind: the method.
        reconstruction: where reconstruction is measured: in images through the frozen generator (``image``,
            the paper), in the generator's pull-back metric (``pullback``), or in style vectors (``w``).
        polish_epochs: how many of the last epochs measure it in images, whatever ``reconstruction`` says; 0
            to call no generator (paper: all).
        image_resolution: images are compared at this size, which a skip generator stops at, and which costs a
            fraction of the full one; 0 for the full one (the paper).
        coordinates: what the network reads and writes: style vectors (``w``, the paper), or the ``rank``
            directions of w that are most visible in images, scaled so that distance is pixel distance
            (``visible``).
        rank: number of visible directions, 1 to w_dim; only for ``coordinates: visible``. It is the code
            width, too.
        start: initial weights: a random rotation (``orthogonal``, the paper's kind), or the best linear code
            (``linear``, see :func:`pipeline.editors.starts.linear_basis`).
        residual: edit by adding the decoded difference to w, so that strength 0 is exactly the identity
            (paper: false, the decoded code replaces w).
        repeats: how a categorical attribute stands in the code: 0, one coordinate for each class with its
            standardised score; N of at least 1, the class as a one-hot vector with each of its coordinates N
            times (the paper's variant for AFHQ, 50 times there), which needs ``start: orthogonal``.
        style_layers: for single attributes the style inputs that their edits change, the first and the last
            of 18, scaled to the generator's number; the others' change all (the paper: all do). Training does
            not know of it. Names that the labeler does not have have no effect.
        labels: what an attribute coordinate stands for: the labeler's output in standard deviations
            (``standard``, the paper), or the normal score of its rank (``gaussian``), and so does a unit of
            strength.
        balance: whether training draws the split again so that attributes are about independent, and rare
            combinations not rare (see :mod:`pipeline.editors.balance`; paper: false).
        layers: hidden layers of the encoder, and of the decoder.
        width: units of a hidden layer.
        attribute_weight: λ, the share of the attribute loss; reconstruction has 1 - λ.
        reconstruction_weight: ρ, a factor to that share (paper: 1): the terms on edits are many.
        lambda_ramp: share of the training over which λ rises linearly from 0, in [0, 1]; 0 is no ramp.
        hinge_weight: weight of the penalty on absolute pixel differences above 0.04 (only for ``image``).
        decorrelation_weight: weight of the mean absolute correlation of attribute coordinates with the others
            over a batch (paper: 0); more than 0, and several workers cannot share the training.
        edit_weight: weight of the edit loss: after an edit a frozen probe must read the target (paper: 0).
        preserve_weight: weight of the same loss on the other attributes (paper: 0).
        cycle_weight: weight of the cycle loss: an edited w must encode to the edited code (paper: 0).
        move_weight: weight of the squared length of an edit in the pull-back metric (paper: 0).
        natural_weight: weight of the squared distance of an edit, in standard deviations of the training
            styles, from how styles differ that differ in this attribute alone (paper: 0). Little of it leaves
            an attribute the smallest change that shows, much of it the most natural one.
        natural_scale: for single attributes a factor to that weight. A name that the labeler does not have
            has no effect: one table serves several labelers.
        probes: number of probes in the ensemble behind ``edit_weight`` and ``preserve_weight``; the editor
            keeps them, to correct the length of its edits.
        probe_epochs: epochs that the probes are fitted for before training.
        reach: moves, in training standard deviations, up to which an edit is the decoder's; what is asked
            beyond goes on along the probes (see :mod:`pipeline.editors.onward`). It has no effect without
            probes, and only for ``coordinates: visible``.
        epochs: most epochs of training.
        batch_size: latents in a batch over all workers.
        learning_rate: of Adam.
        schedule: ``constant`` (the paper), or ``cosine``: down to 0 at the last epoch.
        patience: epochs without a better validation loss after which training stops.
    """

    kind: Literal["style_ae"] = "style_ae"
    reconstruction: Literal["image", "pullback", "w"] = "pullback"
    polish_epochs: int = 0
    image_resolution: int = 0
    coordinates: Literal["w", "visible"] = "visible"
    rank: int = 128
    start: Literal["orthogonal", "linear"] = "linear"
    residual: bool = True
    repeats: int = 0
    style_layers: StyleLayers = field(default_factory=dict)
    labels: Literal["standard", "gaussian"] = "standard"
    balance: bool = False
    layers: int = 1
    width: int = 256
    attribute_weight: float = 0.3
    reconstruction_weight: float = 10.0
    lambda_ramp: float = 0.0
    hinge_weight: float = 0.15
    decorrelation_weight: float = 0.0
    edit_weight: float = 4.0
    preserve_weight: float = 10.0
    cycle_weight: float = 0.1
    move_weight: float = 0.1
    natural_weight: float = 0.3
    natural_scale: Mapping[str, float] = field(default_factory=dict)
    probes: int = 2
    probe_epochs: int = 25
    reach: float = 1.5
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine"] = "cosine"
    patience: int = 10

    def compares_images(self, progress: float = 1.0) -> bool:
        """Whether reconstruction is measured in images when ``progress`` of the training is done."""
        polishing = (
            self.polish_epochs and round(progress * self.epochs, 6) >= self.epochs - self.polish_epochs
        )
        return self.reconstruction == "image" or bool(polishing)

    @property
    def trains_on_edits(self) -> bool:
        """Whether any term needs training edits."""
        return any(
            (self.edit_weight, self.preserve_weight, self.cycle_weight, self.move_weight, self.natural_weight)
        )

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        counts = ("rank", "layers", "width", "probes", "probe_epochs", "epochs", "batch_size", "patience")
        require(self, *counts, at_least=1)
        require(self, "attribute_weight", "lambda_ramp", at_least=0, at_most=1)
        require(
            self, "hinge_weight", "edit_weight", "preserve_weight", "cycle_weight", "move_weight", at_least=0
        )
        require(
            self,
            "reconstruction_weight",
            "decorrelation_weight",
            "natural_weight",
            "repeats",
            "polish_epochs",
            "image_resolution",
            at_least=0,
        )
        require(self, "learning_rate", "reach", above=0)
        require_layers(self.style_layers)


@dataclass(frozen=True, kw_only=True, slots=True)
class InterfaceGANParams:
    """InterFaceGAN: one linear direction per attribute.

    Attributes:
        kind: the method.
        binary: the columns whose direction is the normal of a linear SVM, the others take a ridge
            regression's; ``auto`` for those that the labeler decides, binary and categorical ones.
        confident_share: share of the training split taken from either end of a binary column, in (0, 0.5].
        C: inverse regularisation of the SVM, for w scaled to unit mean square. Small: a direction in which
            styles hardly vary separates the samples well and edits images badly.
        alpha: damping of the ridge regression as a share of the mean variance of w.
        conditional: project each direction onto the complement of the other normals.
    """

    kind: Literal["interfacegan"] = "interfacegan"
    binary: tuple[str, ...] | Literal["auto"] = "auto"
    confident_share: float = 0.2
    C: float = 0.001
    alpha: float = 0.2
    conditional: bool = True

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        require(self, "confident_share", above=0, at_most=0.5)
        require(self, "C", above=0)
        require(self, "alpha", at_least=0)
