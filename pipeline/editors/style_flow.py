"""StyleFlow: a continuous normalising flow of styles under the condition of their attributes.

References:
    Abdal, Zhu, Mitra, Wonka: StyleFlow: attribute-conditioned exploration of StyleGAN-generated images using
    conditional continuous normalizing flows, arXiv 2008.02401. The flow is that of Grathwohl et al.: FFJORD,
    arXiv 1810.01367, and its layers those of Yang et al.: PointFlow, arXiv 1906.12320.

Deviations:
    The source attributes of an edit are read from w by a ridge regression (the authors: classifiers on the
    image), because an editor is given nothing but w.
    For a training of minutes on two processor cores, epochs are few, batches are larger than 5 and the
    learning rate falls; the published ones are in ``conf/editor/styleflow_paper.yaml``.
    Gradients go through the solver's steps (the authors: the adjoint equation), and fixed steps, ``rk4`` and
    ``midpoint``, make the error that :func:`solver_error` reports.
    The moving batch normalisations before and behind the flow are a fixed map, with the statistics of the
    whole training split, and a learned one: what moving averages come to, while the loss of a row does not
    depend on its batch. By default the fixed map whitens (``normalise: scale`` is the paper's): else nearly
    all of a short training goes into the correlations of w's coordinates.
    Edits change whole styles (the authors: those style inputs that the setting ``style_layers`` of
    ``conf/editor/styleflow_layers.yaml`` names).
    Time ends at 1 (the authors learn the end, which only scales the velocity), and weights start so that the
    flow is the identity.
"""

from __future__ import annotations

__all__ = ["StyleFlow", "StyleFlowObjective", "solver_error"]


import torch
from torch import Tensor, nn

from pipeline.editors.base import EditingData, FitContext, Objective, Rows
from pipeline.editors.continuous_flow import Rate, Velocity, integrate
from pipeline.editors.flow_settings import StyleFlowParams
from pipeline.editors.flows import FlowEditor, gaussian_log_density, seeded, style_statistics
from pipeline.editors.losses import row_keys, row_uniforms
from pipeline.editors.style_layers import StyleLayers

DAMPING = 1e-2  # of the reader's ridge regression, as a share of each coordinate's variance


class StyleFlow(FlowEditor):
    """The flow; ``code = [read attributes | z]``, and an edit is z under other attributes.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
        layers: of the velocity network.
        width: units of its hidden layers.
        solver: ``dopri5``, ``rk4`` or ``midpoint``.
        steps: of a solver with fixed steps.
        style_layers: see :class:`pipeline.editors.base.Editor`; ``None`` for whole styles.

    Attributes:
        spread: lower-triangular L with ``L Lᵀ`` the covariance of styles, or the diagonal of it alone.
    """

    kind = "style_flow"
    arguments = ("w_dim", "layers", "width", "solver", "steps", "style_layers")
    readers: Tensor

    def __init__(
        self,
        columns: tuple[str, ...],
        w_dim: int,
        layers: int = 6,
        width: int = 512,
        solver: str = "rk4",
        steps: int = 3,
        style_layers: StyleLayers | None = None,
    ) -> None:
        super().__init__(columns, w_dim, torch.eye(w_dim))
        self.layers, self.width = layers, width
        self.solver, self.steps = solver, steps
        self.style_layers = {name: (first, last) for name, (first, last) in (style_layers or {}).items()}
        self.velocity = Velocity(w_dim, len(columns), layers, width)
        self.shift, self.log_scale = nn.Parameter(torch.zeros(w_dim)), nn.Parameter(torch.zeros(w_dim))
        self.register_buffer("readers", torch.zeros(len(columns), w_dim))

    @classmethod
    def build(cls, settings: StyleFlowParams, data: EditingData, context: FitContext, seed: int) -> StyleFlow:
        """An untrained flow, whose transport is the identity, with the statistics of the training split."""
        shape = (settings.layers, settings.width, settings.solver, settings.steps, settings.style_layers)
        with seeded(seed):
            editor = cls(data.columns, data.w.shape[1], *shape).to(data.w)
        editor.learn_attributes(data)
        center, covariance = style_statistics(data.w)
        diagonal = covariance.diagonal().diag()
        editor.center.copy_(center)
        editor.spread.copy_(torch.linalg.cholesky(diagonal if settings.normalise == "scale" else covariance))
        editor.readers.copy_(_ridge(data.w - center, editor.normalise(data.attrs), covariance))
        return editor

    def objective(self, settings: StyleFlowParams, context: FitContext) -> StyleFlowObjective:
        """The negative log-likelihood of the styles under their attributes."""
        return StyleFlowObjective(self, settings)

    def flow(self, w: Tensor, attrs: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``z [N, w_dim]`` under normalised attributes ``[N, K]``."""
        return self._settle(self._transport(self._spherical(w), attrs, 0.0, 1.0))

    def unflow(self, z: Tensor, attrs: Tensor) -> Tensor:
        """The inverse of :meth:`flow`, up to the solver's error."""
        x = self._transport(z * torch.exp(self.log_scale) + self.shift, attrs, 1.0, 0.0)
        return x @ self.spread.T + self.center

    def log_density(self, w: Tensor, attrs: Tensor, tangents: Tensor | None = None) -> Tensor:
        """``log p(w | attrs)``, ``[N]``, by the instantaneous change of variables (FFJORD).

        Arguments:
            w: ``[N, w_dim]``.
            attrs: normalised ``[N, K]``.
            tangents: directions ``[T, N, w_dim]``, whose outer products sum to the identity on average, for
                Hutchinson's estimate of the divergence; ``None`` for the exact one.
        """
        if tangents is None:
            tangents = torch.eye(self.w_dim).to(w)[:, None].expand(-1, len(w), -1)

        def rate(time: float | Tensor, state: Tensor) -> Tensor:
            velocity, moved = self.velocity(time, state[:, :-1], attrs, tangents)
            divergence = (tangents * moved).sum(dim=(0, 2))
            return torch.cat([velocity, divergence[:, None]], dim=1)

        x = self._spherical(w)
        state = self._solve(rate, torch.cat([x, torch.zeros_like(x[:, :1])], dim=1), 0.0, 1.0)
        volume = state[:, -1] - self.spread.diagonal().log().sum() - self.log_scale.sum()
        return gaussian_log_density(self._settle(state[:, :-1])) + volume

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``[N, K + w_dim]``: the attributes that are read in w, and z under them."""
        self.check(w)
        x = w.to(self.center.dtype)
        attrs = self._read(x)
        return torch.cat([attrs, self.flow(x, attrs)], dim=1).to(w.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """``[N, K + w_dim]`` → ``w [N, w_dim]``."""
        attrs, z = code.to(self.center.dtype).tensor_split([len(self.columns)], dim=1)
        return self.unflow(z, attrs).to(code.dtype)

    def _read(self, w: Tensor) -> Tensor:
        return (w - self.center) @ self.readers.T

    def _spherical(self, w: Tensor) -> Tensor:
        """The map before the flow."""
        return torch.linalg.solve_triangular(self.spread.T, w - self.center, upper=True, left=False)

    def _settle(self, x: Tensor) -> Tensor:
        """The map behind the flow."""
        return (x - self.shift) * torch.exp(-self.log_scale)

    def _transport(self, x: Tensor, attrs: Tensor, start: float, end: float) -> Tensor:
        return self._solve(lambda time, state: self.velocity(time, state, attrs)[0], x, start, end)

    def _solve(self, rate: Rate, state: Tensor, start: float, end: float) -> Tensor:
        return integrate(rate, state, start, end, self.solver, self.steps)


def _ridge(x: Tensor, attrs: Tensor, covariance: Tensor) -> Tensor:
    """Regression coefficients ``[K, w_dim]`` of normalised attributes on centred styles."""
    damped = covariance + DAMPING * covariance.diagonal().diag()
    return torch.linalg.solve(damped, x.double().T @ attrs.double() / len(x)).T


class StyleFlowObjective(Objective):
    """Maximum likelihood: ``-log p(w | attrs)`` in nats per style.

    Arguments:
        editor: what is trained.
        settings: how the divergence is measured.
    """

    editor: StyleFlow

    def __init__(self, editor: StyleFlow, settings: StyleFlowParams) -> None:
        super().__init__()
        self.editor, self.settings = editor, settings

    def rows(self, data: EditingData) -> Rows:
        """``w``, normalised ``attrs``, and ``key``, which the directions are drawn by."""
        return {"w": data.w, "attrs": self.editor.normalise(data.attrs), "key": row_keys(data.w)}

    def forward(self, rows: Rows, progress: float) -> dict[str, Tensor]:
        """See :class:`pipeline.editors.base.Objective`."""
        tangents = None
        if self.settings.divergence == "hutchinson":  # one direction of random signs for each row
            signs = row_uniforms(rows["key"], progress, self.editor.w_dim) < 0.5
            tangents = (2.0 * signs - 1)[None]
        return {"loss": -self.editor.log_density(rows["w"], rows["attrs"], tangents).mean()}


@torch.no_grad()
def solver_error(editor: StyleFlow, w: Tensor, attribute: str, strength: float) -> float:
    """The relative error of edited styles that the editor's solver makes, against ``dopri5``.

    Arguments:
        editor: whose solver is asked about.
        w: styles ``[N, w_dim]``.
        attribute: what is edited.
        strength: by how much.

    Returns:
        The norm of the difference over that of the edited styles' deviations from the mean style.
    """
    asked, solver = editor.edit(w, attribute, strength), editor.solver
    try:
        editor.solver = "dopri5"
        exact = editor.edit(w, attribute, strength)
    finally:
        editor.solver = solver
    return float((asked - exact).norm() / (exact - editor.center).norm())
