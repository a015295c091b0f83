"""PluGeN: a flow that gives each attribute a coordinate of its own.

References:
    Wołczyk, Proszewska, Maziarka, Zięba, Wielopolski, Kurczab, Śmieja: PluGeN: multi-label conditional
    generation from pre-trained models, arXiv 2109.09011. The flow is that of Dinh, Krueger, Bengio: NICE:
    non-linear independent components estimation, arXiv 1410.8516.

Deviations:
    Attributes are the labeler's outputs, logits for binary ones, in standard deviations of the training split
    (the authors: -1 and 1). Styles are standardised on it first, coordinate by coordinate. NICE's diagonal
    scaling closes the flow: couplings keep volumes, so without it no style distribution but one of the right
    volume could become the prior. The halves are the even and the odd coordinates of w.
"""

from __future__ import annotations

__all__ = ["PluGeN", "PluGeNObjective"]


import torch
from torch import Tensor, nn

from pipeline.editors.base import EditingData, FitContext, Objective, Rows
from pipeline.editors.flow_settings import PluGeNParams
from pipeline.editors.flows import FlowEditor, gaussian_log_density, seeded, style_statistics
from pipeline.errors import PipelineError

SLOPE = 0.1  # of the leaky rectifiers


class PluGeN(FlowEditor):
    """The flow; ``code = [attributes | rest]``, as wide as w.

    Arguments:
        columns: the K attributes.
        w_dim: width of the style vector.
        couplings: additive coupling layers.
        layers: linear layers in the network of a coupling.
        width: units of its hidden layers.
    """

    kind = "plugen"
    arguments = ("w_dim", "couplings", "layers", "width")

    def __init__(
        self, columns: tuple[str, ...], w_dim: int, couplings: int = 4, layers: int = 4, width: int = 512
    ) -> None:
        super().__init__(columns, w_dim, torch.ones(w_dim))
        self.couplings, self.layers, self.width = couplings, layers, width
        halves = (w_dim - w_dim // 2, w_dim // 2)
        self.networks = nn.ModuleList(
            _network(halves[which % 2], halves[1 - which % 2], layers, width) for which in range(couplings)
        )
        self.log_scale = nn.Parameter(torch.zeros(w_dim))

    @classmethod
    def build(cls, settings: PluGeNParams, data: EditingData, context: FitContext, seed: int) -> PluGeN:
        """An untrained flow with the statistics of the training split.

        Raises:
            PipelineError: when there are more attributes than coordinates, or one is constant.
        """
        w_dim = data.w.shape[1]
        if len(data.columns) > w_dim:
            raise PipelineError(
                f"expected at most {w_dim} attributes, as many as w has coordinates, got "
                f"{len(data.columns)}: drop some"
            )
        with seeded(seed):
            editor = cls(data.columns, w_dim, settings.couplings, settings.layers, settings.width).to(data.w)
        editor.learn_attributes(data)
        center, covariance = style_statistics(data.w)
        editor.center.copy_(center)
        editor.spread.copy_(covariance.diagonal().sqrt())
        return editor

    def objective(self, settings: PluGeNParams, context: FitContext) -> PluGeNObjective:
        """The negative log-likelihood of styles and attributes."""
        return PluGeNObjective(self, settings)

    def encode(self, w: Tensor) -> Tensor:
        """``w [N, w_dim]`` → ``code [N, w_dim]``."""
        self.check(w)
        x = (w.to(self.center.dtype) - self.center) / self.spread
        halves = [x[:, ::2], x[:, 1::2]]
        for which, network in enumerate(self.networks):
            halves[1 - which % 2] = halves[1 - which % 2] + network(halves[which % 2])
        return (torch.cat(halves, dim=1) * torch.exp(self.log_scale)).to(w.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """The inverse of :meth:`encode`."""
        y = code.to(self.center.dtype) * torch.exp(-self.log_scale)
        halves = list(y.tensor_split([self.w_dim - self.w_dim // 2], dim=1))
        for which, network in reversed(list(enumerate(self.networks))):
            halves[1 - which % 2] = halves[1 - which % 2] - network(halves[which % 2])
        order = torch.arange(self.w_dim, device=y.device)
        place = torch.cat([order[::2], order[1::2]]).argsort()
        return (torch.cat(halves, dim=1)[:, place] * self.spread + self.center).to(code.dtype)

    def log_volume(self) -> Tensor:
        """``log |det ∂code/∂w|``, the same for all styles: each coupling has 1 on its diagonal."""
        return (self.log_scale - self.spread.log()).sum()


def _network(inputs: int, outputs: int, layers: int, width: int) -> nn.Sequential:
    """Linear layers with a leaky rectifier between any two."""
    widths = [inputs, *[width] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for before, after in zip(widths[:-1], widths[1:], strict=True):
        modules += [nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*modules[:-1])


class PluGeNObjective(Objective):
    """``-log p(w | attrs)``, in nats: attribute coordinates are near the attributes, the rest is the prior's.

    Arguments:
        editor: what is trained.
        settings: how near, and the bound of a step's gradient.
    """

    editor: PluGeN

    def __init__(self, editor: PluGeN, settings: PluGeNParams) -> None:
        super().__init__()
        self.editor, self.settings, self.gradient_clip = editor, settings, settings.gradient_clip

    def rows(self, data: EditingData) -> Rows:
        """``w``, and normalised ``attrs``."""
        return {"w": data.w, "attrs": self.editor.normalise(data.attrs)}

    def forward(self, rows: Rows, progress: float) -> dict[str, Tensor]:
        """See :class:`pipeline.editors.base.Objective`; the parts sum to the loss."""
        sigma = self.settings.sigma * self.settings.sigma_decay ** (progress * self.settings.epochs)
        attributes, rest = self.editor.encode(rows["w"]).tensor_split([len(self.editor.columns)], dim=1)
        parts = {
            "attributes": -gaussian_log_density(attributes, rows["attrs"], sigma).mean(),
            "rest": -gaussian_log_density(rest).mean(),
            "volume": -self.editor.log_volume(),
        }
        return {"loss": sum(parts.values(), rows["w"].new_zeros(())), **parts}
