"""StyleAE: an autoencoder of styles whose first code coordinates are attributes.

References:
    Bedychaj, Tabor, Śmieja: StyleAutoEncoder for manipulating image attributes using pre-trained StyleGAN,
    PAKDD 2024, arXiv 2412.20164. Code: github.com/ABedychaj/StyleAE.

Deviations:
    The settings ``coordinates: w``, ``reconstruction: image``, ``start: orthogonal``, ``residual: false``,
    ``schedule: constant`` and weights 0 for the edit, preserve, cycle, move and natural terms give the
    published method, but for these: initial weights are orthogonal and biases 0, so that an untrained
    autoencoder is exactly the identity (the authors: transposed Xavier weights, which is only near it); the
    hinge compares the image with its reconstruction (the authors: with a randomly perturbed reconstruction);
    attributes are normalised on the training split alone (the authors: on all rows); a class is a one-hot
    vector under the mean squared error (the authors: a loss that charges nothing for a wrong class).
    The published recipe leaves the decoder free to ignore an overwritten coordinate, since the other code
    coordinates carry the attributes, too. The default therefore starts from the best linear edits and trains
    on edits (see :mod:`pipeline.editors.style_ae_training`). How far an edit goes then differs between faces;
    the probes that it was trained with read that, and the step is corrected by it. In visible coordinates,
    what is asked beyond ``reach`` goes on along these probes (see :mod:`pipeline.editors.onward`).
"""

from __future__ import annotations

__all__ = ["StyleAE"]

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pipeline.attributes import class_groups, same_attribute
from pipeline.editors.balance import balanced
from pipeline.editors.base import EditingData, Editor, FitContext, offsets, refuse_constant
from pipeline.editors.normal_scores import KNOTS, normal_scores, quantiles
from pipeline.editors.onward import measure_units, onward
from pipeline.editors.probe import ProbeEnsemble, corrected, fit_probes
from pipeline.editors.settings import StyleAEParams
from pipeline.editors.starts import SLOPE, linear_basis, mirror
from pipeline.editors.style_ae_training import StyleAEObjective, TrainingAids, training_aids
from pipeline.editors.style_layers import StyleLayers
from pipeline.editors.visible import visible_coordinates
from pipeline.errors import PipelineError


class StyleAE(Editor):
    """The autoencoder; ``code = [attributes | rest]``.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
        rank: code width: ``w_dim`` to work on styles themselves, less for that many visible coordinates.
        layers: hidden layers of encoder and decoder.
        width: units of a hidden layer.
        visible: whether the network works in visible coordinates.
        residual: whether an edit adds the decoded difference to w.
        repeats: how often each class of a categorical attribute stands in the code; 0 for once, as a score.
        probes: members of the ensemble that corrects the length of edits; 0 for none.
        reach: moves, in training standard deviations, beyond which edits go on along the probes, in visible
            coordinates.
        gaussian: whether attributes are normal scores of ranks.
        style_layers: see :class:`pipeline.editors.base.Editor`; ``None`` for whole styles.

    Attributes:
        owners: the column of each of the first A code coordinates, the attribute coordinates.
    """

    kind = "style_ae"
    arguments = (
        "w_dim",
        "rank",
        "layers",
        "width",
        "visible",
        "residual",
        "repeats",
        "probes",
        "reach",
        "gaussian",
        "style_layers",
    )
    training_aids: TrainingAids | None = None  # not a sub-module: only training needs it, and it is not saved
    attr_mean: Tensor
    attr_std: Tensor
    follow: Tensor
    knots: Tensor
    unit: Tensor
    center: Tensor
    factor: Tensor
    inverse: Tensor

    def __init__(
        self,
        columns: tuple[str, ...],
        w_dim: int,
        rank: int,
        layers: int = 3,
        width: int = 512,
        visible: bool = True,
        residual: bool = True,
        repeats: int = 0,
        probes: int = 0,
        reach: float = 1.5,
        gaussian: bool = False,
        style_layers: StyleLayers | None = None,
    ) -> None:
        super().__init__()
        self.columns, self.w_dim, self.rank = columns, w_dim, rank
        self.layers, self.width, self.visible, self.residual = layers, width, visible, residual
        self.repeats, self.classes, self.probes = repeats, class_groups(columns), probes
        self.reach, self.gaussian = reach, gaussian
        self.style_layers = {name: (first, last) for name, (first, last) in (style_layers or {}).items()}
        self.owners = [
            k for k in range(len(columns)) for _ in range(max(1, repeats) if self.classes[k] else 1)
        ]
        widths = [rank, *[width] * layers, rank]
        self.encoder = _stack(widths, SLOPE)
        self.decoder = _stack(widths[::-1], 1 / SLOPE)
        self.readers = ProbeEnsemble(probes, rank, len(columns)) if probes else None
        self.register_buffer("unit", torch.ones(rank))
        self.register_buffer("attr_mean", torch.zeros(len(columns)))
        self.register_buffer("attr_std", torch.ones(len(columns)))
        self.register_buffer("follow", torch.eye(len(columns)))
        if gaussian:
            self.register_buffer("knots", torch.zeros(len(columns), KNOTS))
        if visible:
            self.register_buffer("center", torch.zeros(w_dim))
            self.register_buffer("factor", torch.eye(rank, w_dim))
            self.register_buffer("inverse", torch.eye(w_dim, rank))

    @classmethod
    def build(cls, settings: StyleAEParams, data: EditingData, context: FitContext, seed: int) -> StyleAE:
        """An untrained StyleAE with the statistics of the training split."""
        visible = settings.coordinates == "visible"
        w_dim, hidden = data.w.shape[1], (settings.layers, settings.width)
        rank = min(settings.rank, w_dim) if visible else w_dim
        editor = cls(
            data.columns,
            w_dim,
            rank,
            *hidden,
            visible,
            settings.residual,
            settings.repeats,
            settings.probes if settings.trains_on_edits else 0,
            settings.reach,
            settings.labels == "gaussian",
            settings.style_layers,
        ).to(data.w)
        editor._take_attributes(data.attrs)
        editor._refuse_code(settings)
        if visible:
            found = visible_coordinates(data.w, context.metric.to(data.w.device), rank)
            for name in ("center", "factor", "inverse"):
                getattr(editor, name).copy_(getattr(found, name))
        y, attrs = editor.coordinates(data.w), editor.normalise(data.attrs)
        linear = linear_basis(y, attrs) if settings.start == "linear" else None
        mirror(editor.encoder, editor.decoder, torch.Generator().manual_seed(seed), linear)
        if editor.probes:
            editor.unit.copy_(measure_units(y))
            editor.training_aids = training_aids(y, attrs)
            if settings.balance:
                drawn = balanced(data, attrs)
                y, attrs = editor.coordinates(drawn.w), editor.normalise(drawn.attrs)
            editor.readers = fit_probes(y, attrs, editor.probes, settings.probe_epochs, seed)
        return editor

    @classmethod
    def shares_batches(cls, settings: StyleAEParams) -> bool:
        """Unless correlations count, which are those of a batch."""
        return not settings.decorrelation_weight

    def objective(self, settings: StyleAEParams, context: FitContext) -> StyleAEObjective:
        """The training loss that the settings describe."""
        generator = context.generator if settings.compares_images() else None
        metric = context.metric if self.visible or settings.reconstruction == "pullback" else None
        return StyleAEObjective(self, settings, generator, metric)

    def normalise(self, attrs: Tensor) -> Tensor:
        """Raw labeler outputs ``[N, K]`` in standard deviations of the training split."""
        return (self._scored(attrs) - self.attr_mean) / self.attr_std

    def one_hot(self, attrs: Tensor) -> Tensor:
        """Attributes ``[N, K]`` with a categorical one's scores as 1 for the greatest and 0, if repeated."""
        if not self.repeats:
            return attrs
        attrs = attrs.clone()
        for group in {group for group in self.classes if group}:
            scores = attrs[:, list(group)]
            attrs[:, list(group)] = one_hot(scores.argmax(dim=1), len(group)).to(scores)
        return attrs

    def move(self, code: Tensor, step: Tensor) -> Tensor:
        """``code`` with its attributes moved by ``step [N, K]``, and what follows them (see ``follow``)."""
        count = len(self.owners)
        return torch.cat([code[:, :count] + (step @ self.follow)[:, self.owners], code[:, count:]], dim=1)

    def coordinates(self, w: Tensor) -> Tensor:
        """What the network reads: ``[N, rank]``, w itself or its visible coordinates."""
        return (w - self.center) @ self.factor.T if self.visible else w

    def displacement(self, difference: Tensor) -> Tensor:
        """The style difference ``[N, w_dim]`` of a difference of coordinates ``[N, rank]``."""
        return difference @ self.inverse.T if self.visible else difference

    def styles(self, y: Tensor) -> Tensor:
        """``w [N, w_dim]`` of coordinates ``[N, rank]``."""
        return self.displacement(y) + self.center if self.visible else y

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``code [N, rank]``."""
        self.check(w)
        return self.encoder(self.coordinates(w.to(self.attr_mean.dtype))).to(w.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """``code [N, rank]`` → ``w [N, w_dim]``."""
        return self.styles(self.decoder(code.to(self.attr_mean.dtype))).to(code.dtype)

    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """Encode, move the attribute's coordinates by ``strength``, decode; see the setting ``residual``.

        An editor with probes corrects the step of each row, so that they read the move that was asked for,
        and takes what is asked beyond ``reach`` from there along the probes.
        """
        self.check(w)
        k, dtype = self.index(attribute), self.attr_mean.dtype
        code = self.encoder(y := self.coordinates(w.to(dtype)))
        step = offsets(strength, w).to(dtype)
        change = self._decoded(y, code, k, step) if self.readers is None else self._led(y, code, k, step)
        if not self.residual:
            return self.styles(y + change).to(w.dtype)
        return w + self.displacement(change).to(w.dtype)

    def _decoded(self, y: Tensor, code: Tensor, k: int, step: Tensor) -> Tensor:
        """What coordinates ``y`` of ``code`` change by when attribute ``k`` is moved by ``step [N, 1]``."""
        asked = step * one_hot(torch.tensor(k), len(self.columns)).to(step)
        return self.decoder(self.move(code, asked)) - (self.decoder(code) if self.residual else y)

    def _led(self, y: Tensor, code: Tensor, k: int, step: Tensor) -> Tensor:
        """The same with the probes' help: up to ``reach`` the decoder's change, and on from there."""
        assert self.readers is not None
        near = step.clamp(-self.reach, self.reach) if self.visible else step
        way = corrected(near, lambda tried: y + self._decoded(y, code, k, tried), y, k, self.readers)
        change = self._decoded(y, code, k, way)
        far = (step != near)[:, 0]
        if far.any():
            speed = (change[far] / self.unit).norm(dim=1, keepdim=True) / self.reach
            start, ahead = (y + change)[far], (step - near)[far]
            end = onward(start, ahead, speed, self.follow[k], self.readers, self.unit)
            change[far] = end - y[far]
        return change

    def _scored(self, attrs: Tensor) -> Tensor:
        """What is normalised of raw labeler outputs: see ``repeats`` and ``gaussian``."""
        attrs = self.one_hot(attrs)
        return normal_scores(attrs, self.knots) if self.gaussian else attrs

    def _take_attributes(self, attrs: Tensor) -> None:
        """Mean, standard deviation, and how the classes of an attribute follow each other: by correlation.

        Of classes as one-hot vectors, what one class gains is then just what the others lose.
        """
        if self.gaussian:
            self.knots.copy_(quantiles(self.one_hot(attrs)))
        attrs = self._scored(attrs)
        self.attr_mean.copy_(attrs.mean(dim=0))
        self.attr_std.copy_(attrs.std(dim=0))
        refuse_constant(self.columns, self.attr_std.tolist())
        if any(self.classes):
            same = torch.from_numpy(same_attribute(self.columns)).to(attrs.device)
            self.follow.copy_(torch.corrcoef(attrs.T) * same)
            self.follow.fill_diagonal_(1)

    def _refuse_code(self, settings: StyleAEParams) -> None:
        """Refuse a code that the attributes do not fit into, or that no linear code can start."""
        if len(self.owners) > self.rank:
            raise PipelineError(
                f"expected a code of at least {len(self.owners)} coordinates for the attributes, got "
                f"{self.rank}: raise the editor's rank or lower repeats"
            )
        if settings.start == "linear" and self.repeats and any(self.classes):
            raise PipelineError(
                "expected start: orthogonal for repeated classes, got 'linear': repeated coordinates have no "
                "linear code; set start, or repeats: 0"
            )


def _stack(widths: list[int], slope: float) -> nn.Sequential:
    """Linear layers of the given widths with a PReLU between any two."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.PReLU(init=slope)]
    return nn.Sequential(*layers[:-1])
