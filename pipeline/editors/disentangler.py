"""Disentangler: an autoencoder of principal components whose code is attributes first, and decorrelated.

References:
    Lesné, Gousseau, Ladjal, Newson: A compact and semantic latent space for disentangled and controllable
    image editing, CVMP 2023, arXiv 2312.08256.

Deviations:
    Principal components are those of the training split (the authors: of 10,000 samples of their own), and
    the encoded ones are divided by one number, so that their mean square is 1. Their mean squared error is
    that of w but for a factor, and with means for the authors' sums over attributes and over pairs of
    coordinates, the weights of the loss depend neither on the generator nor on the number of attributes. The
    weights are our own: with the authors', 1e-5 for either sum, edits do not move their attribute here.
    By default the rate is higher, falls, and training is half as long; the published ones are in
    ``conf/editor/disentangler_paper.yaml``.
    An attribute moves by a strength (the authors: to ±2.5), and labels are made Gaussian by their ranks in
    the training split alone.
"""

from __future__ import annotations

__all__ = ["Disentangler", "DisentanglerObjective"]


import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from pipeline.editors.base import EditingData, Editor, FitContext, Objective, Rows, offsets, refuse_constant
from pipeline.editors.losses import correlations
from pipeline.editors.normal_scores import KNOTS, normal_scores, quantiles
from pipeline.editors.peer_settings import DisentanglerParams
from pipeline.errors import PipelineError


class Disentangler(Editor):
    """The autoencoder; ``code = [attributes | rest | components that pass through]``.

    The first ``components`` coordinates are the network's, the first K of these are the attributes, in
    standard deviations of their Gaussian versions. The other coordinates are principal components of w.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
        components: principal components that the network encodes.
        layers: linear layers of the encoder, and of the decoder.
        width: units of a hidden layer.
    """

    kind = "disentangler"
    arguments = ("w_dim", "components", "layers", "width")
    center: Tensor
    axes: Tensor
    scale: Tensor
    knots: Tensor

    def __init__(
        self, columns: tuple[str, ...], w_dim: int, components: int, layers: int = 8, width: int = 512
    ) -> None:
        super().__init__()
        self.columns, self.w_dim, self.components = columns, w_dim, components
        self.layers, self.width = layers, width
        widths = [components, *[width] * (layers - 1), components]
        self.encoder = nn.Sequential(*_stack(widths), nn.BatchNorm1d(components))
        self.decoder = nn.Sequential(*_stack(widths))
        self.register_buffer("center", torch.zeros(w_dim))
        self.register_buffer("axes", torch.eye(w_dim))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("knots", torch.zeros(len(columns), KNOTS))

    @classmethod
    def build(
        cls, settings: DisentanglerParams, data: EditingData, context: FitContext, seed: int
    ) -> Disentangler:
        """An untrained Disentangler with the statistics of the training split."""
        w_dim, count = data.w.shape[1], len(data.columns)
        if not count <= settings.components <= w_dim:
            raise PipelineError(
                f"expected from {count} components, one for each attribute, to {w_dim}, the width of w, got "
                f"{settings.components}: correct the editor's components"
            )
        refuse_constant(data.columns, data.attrs.std(dim=0).tolist())
        editor = cls(data.columns, w_dim, settings.components, settings.layers, settings.width)
        editor._initialise(torch.Generator().manual_seed(seed))
        editor._take_components(data.w)
        editor.knots.copy_(quantiles(data.attrs))
        return editor.to(data.w)

    @classmethod
    def shares_batches(cls, settings: DisentanglerParams) -> bool:
        """Never: batch norms and correlations are those of a batch."""
        return False

    def objective(self, settings: DisentanglerParams, context: FitContext) -> DisentanglerObjective:
        """The training loss that the settings describe."""
        return DisentanglerObjective(self, settings)

    def normalise(self, attrs: Tensor) -> Tensor:
        """Raw labeler outputs ``[N, K]`` as the normal scores of their ranks in the training split."""
        return normal_scores(attrs, self.knots)

    def project(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The components of ``w [N, w_dim]`` that the network encodes, and those that pass through.

        Returns:
            ``[N, components]`` of unit mean square over the training split, and the others in units of w.
        """
        inside, outside = ((w - self.center) @ self.axes).split(self._widths, dim=1)
        return inside / self.scale, outside

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``code [N, w_dim]``."""
        self.check(w)
        inside, outside = self.project(w.to(self.center.dtype))
        return torch.cat([self.encoder(inside), outside], dim=1).to(w.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """``code [N, w_dim]`` → ``w [N, w_dim]``."""
        inner, outside = code.to(self.center.dtype).split(self._widths, dim=1)
        components = torch.cat([self.decoder(inner) * self.scale, outside], dim=1)
        return (components @ self.axes.T + self.center).to(code.dtype)

    def edit(self, w: Tensor, attribute: str, strength: float | Tensor) -> Tensor:
        """Encode, move the attribute's coordinate by ``strength``, decode."""
        k, code = self.index(attribute), self.encode(w).to(self.center.dtype)
        code[:, k : k + 1] += offsets(strength, code)
        return self.decode(code).to(w.dtype)

    @property
    def _widths(self) -> tuple[int, int]:
        return self.components, self.w_dim - self.components

    def _initialise(self, random: torch.Generator) -> None:
        """PyTorch's own distribution of initial weights, from a generator of our own."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                for values in (layer.weight, layer.bias):
                    nn.init.uniform_(values, -bound, bound, generator=random)

    def _take_components(self, w: Tensor) -> None:
        """Mean, principal axes in columns, the largest first, and the scale of those that are encoded."""
        center = w.double().mean(dim=0)
        x = w.double() - center
        variances, vectors = torch.linalg.eigh(x.T @ x / len(x))
        vectors = vectors * torch.sign(vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True)))
        self.center.copy_(center)
        self.axes.copy_(vectors.flip(1))
        self.scale.copy_(variances.flip(0)[: self.components].mean().sqrt())


class DisentanglerObjective(Objective):
    """Reconstruction, attributes, and no correlation between any two coordinates.

    Arguments:
        editor: what is trained.
        settings: the weights.
    """

    editor: Disentangler

    def __init__(self, editor: Disentangler, settings: DisentanglerParams) -> None:
        super().__init__()
        self.editor, self.settings = editor, settings

    @torch.no_grad()
    def rows(self, data: EditingData) -> Rows:
        """The encoded components ``y`` of each row, and ``attrs``, what its first coordinates should be."""
        return {"y": self.editor.project(data.w)[0], "attrs": self.editor.normalise(data.attrs)}

    def forward(self, rows: Rows, progress: float) -> dict[str, Tensor]:
        """See :class:`pipeline.editors.base.Objective`; every part is unweighted but ``loss``."""
        code = self.editor.encoder(rows["y"])
        reconstruction = mse_loss(self.editor.decoder(code), rows["y"])
        attributes = mse_loss(code[:, : len(self.editor.columns)], rows["attrs"])
        decorrelation = _mean_correlation(code)
        loss = (
            reconstruction
            + self.settings.attribute_weight * attributes
            + self.settings.decorrelation_weight * decorrelation
        )
        return {
            "loss": loss,
            "reconstruction": reconstruction,
            "attributes": attributes,
            "decorrelation": decorrelation,
        }


def _mean_correlation(code: Tensor) -> Tensor:
    """The mean absolute correlation of two different coordinates of a batch ``[N, C]``."""
    correlation = correlations(code)
    count = len(correlation)
    return (correlation.sum() - correlation.diagonal().sum()) / max(1, count * (count - 1))


def _stack(widths: list[int]) -> list[nn.Module]:
    """Linear layers of the given widths, a LeakyReLU and a batch norm between any two."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(), nn.BatchNorm1d(outputs)]
    return layers[:-2]
