"""How StyleAE is trained: its loss, and the training edits that make its edits work.

A training edit moves one attribute of each sample to a value drawn from that attribute's marginal. Then
frozen probes must read the new value (edit) and the old ones elsewhere (preserve), the edited style must
encode to the edited code (cycle), be near the original in images (move), and differ from it as training
styles differ that differ in this attribute alone (natural). None of these terms calls the generator.
"""

from __future__ import annotations

__all__ = ["StyleAEObjective", "TrainingAids", "training_aids"]

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline.editors import losses
from pipeline.editors.balance import balanced
from pipeline.editors.base import EditingData, Objective, Rows
from pipeline.editors.settings import StyleAEParams
from pipeline.generators.base import Generator
from pipeline.generators.low_rank import Metric, quadratic_form
from pipeline.generators.pullback import whitening

if TYPE_CHECKING:
    from pipeline.editors.style_ae import StyleAE

EDIT_TERMS = ("edit", "preserve", "cycle", "move", "natural")
FLOOR = 1e-3  # share of the mean variance below which a direction counts as never varying
LEVELS = 256  # quantiles that stand for an attribute's marginal
LONGEST = 2.5  # training edits move an attribute by at most this many standard deviations


@dataclass(frozen=True)
class TrainingAids:
    """What only training needs.

    Attributes:
        marginals: sorted normalised attributes ``[LEVELS, K]``, to draw edit targets from.
        spread: standard deviation of each coordinate over the training split, ``[rank]``.
        natural: how samples differ that differ in one attribute alone, by one deviation, ``[K, rank]``.
    """

    marginals: Tensor
    spread: Tensor
    natural: Tensor


def training_aids(y: Tensor, attrs: Tensor) -> TrainingAids:
    """Statistics of the training split.

    Arguments:
        y: the split in the network's coordinates, ``[N, rank]``.
        attrs: normalised attributes ``[N, K]``.
    """
    levels = (torch.arange(LEVELS, device=attrs.device) + 0.5) / LEVELS
    variance = y.var(dim=0)
    return TrainingAids(
        marginals=torch.quantile(attrs, levels, dim=0),
        spread=variance.clamp_min(FLOOR * variance.mean()).sqrt(),
        natural=natural_moves(y, attrs),
    )


def natural_moves(y: Tensor, attrs: Tensor) -> Tensor:
    """The partial effect of each attribute: coefficients ``[K, rank]`` of the regression attributes → ``y``.

    Unlike the difference between the means with and without an attribute it leaves out what comes along with
    the others. By LAPACK's ``gelsd``: the last bits of torch's default depend on where in memory arrays are.
    """
    x, a = (y - y.mean(dim=0)).double(), (attrs - attrs.mean(dim=0)).double()
    return torch.linalg.lstsq(a.cpu(), x.cpu(), driver="gelsd").solution.to(y)


class StyleAEObjective(Objective):
    """``(1-λ) · ρ · reconstruction + λ · attributes``, and the weighted terms on training edits.

    Arguments:
        editor: what is trained.
        settings: the weights.
        generator: the frozen generator, to compare images.
        metric: the pull-back metric, for visible coordinates and for ``reconstruction: pullback``.
    """

    editor: StyleAE
    metric_factor: Tensor
    first: Tensor
    marginals: Tensor
    spread: Tensor
    natural: Tensor
    natural_scale: Tensor

    def __init__(
        self,
        editor: StyleAE,
        settings: StyleAEParams,
        generator: Generator | None = None,
        metric: Metric | None = None,
    ) -> None:
        super().__init__()
        self.editor, self.settings = editor, settings
        size = settings.image_resolution or None
        self.synthesize = generator.prepare(resolution=size) if generator is not None else None
        self.image_unit = 1.0  # of the image loss: what makes it one with the loss in visible coordinates
        if metric is not None and editor.visible:
            self.image_unit = float(quadratic_form(metric, editor.inverse.T.cpu()).sum())
        elif metric is not None:
            self.register_buffer("metric_factor", whitening(metric).factor.to(editor.attr_mean))
        aids = editor.training_aids
        self.probes = editor.readers
        if aids is not None:
            first = [editor.owners.index(k) for k in range(len(editor.columns))]
            self.register_buffer("first", torch.tensor(first, device=aids.marginals.device))
            self.register_buffer("marginals", aids.marginals)
            self.register_buffer("spread", aids.spread)
            self.register_buffer("natural", aids.natural)
            scale = [settings.natural_scale.get(name, 1.0) for name in editor.columns]
            self.register_buffer("natural_scale", torch.tensor(scale).to(aids.spread))

    @torch.no_grad()
    def rows(self, data: EditingData) -> Rows:
        """What depends on a row alone.

        Returns:
            ``y``, its coordinates; ``attrs``, what the attribute coordinates of its code should be; ``w``, to
            make images; and for training edits ``key``, which the edit is drawn by, and ``before``, what the
            probes read before it, ``[N, P, K]``.
        """
        if self.settings.balance:
            data = balanced(data, self.editor.normalise(data.attrs))
        y = self.editor.coordinates(data.w)
        rows = {"y": y, "attrs": self.editor.normalise(data.attrs)[:, self.editor.owners]}
        if self.synthesize is not None:
            rows["w"] = data.w
        if self.probes is not None:
            rows |= {"key": losses.row_keys(data.w), "before": self.probes(y).transpose(0, 1).contiguous()}
        return rows

    def forward(self, rows: Rows, progress: float) -> dict[str, Tensor]:
        """See :class:`pipeline.editors.base.Objective`; every part is unweighted but ``loss``."""
        editor, settings, y = self.editor, self.settings, rows["y"]
        code = editor.encoder(y)
        if self.probes is None:
            decoded, parts, weights = editor.decoder(code), {}, {}
        else:
            edited, step = self._targets(rows["key"], code, progress)
            target_code = editor.move(code, edited * step)
            decoded, moved = editor.decoder(torch.cat([code, target_code])).chunk(2)
            y_edited = y + moved - decoded if editor.residual else moved
            target = rows["before"].transpose(0, 1) + (edited * step) @ editor.follow
            parts = self._edits(y, y_edited, target_code, target, edited, step)
            weights = {name: getattr(settings, f"{name}_weight") for name in EDIT_TERMS}
        ramp = min(1.0, progress / settings.lambda_ramp) if settings.lambda_ramp else 1.0
        share = settings.attribute_weight * ramp
        reconstructed, reconstructed_weights = self._reconstruction(rows, decoded, progress)
        parts = {**reconstructed, "attributes": losses.attribute_loss(code, rows["attrs"]), **parts}
        if settings.decorrelation_weight:
            parts["decorrelation"] = losses.decorrelation_loss(code, len(editor.owners))
            weights["decorrelation"] = settings.decorrelation_weight
        kept = (1 - share) * settings.reconstruction_weight
        weights |= {name: kept * weight for name, weight in reconstructed_weights.items()}
        weights["attributes"] = share
        return {"loss": sum((weights[name] * parts[name] for name in parts), y.new_zeros(())), **parts}

    def _reconstruction(
        self, rows: Rows, decoded: Tensor, progress: float
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The parts of the reconstruction loss and their weights."""
        y = rows["y"]
        if self.synthesize is not None and self.settings.compares_images(progress):
            with torch.no_grad():
                img = self.synthesize(rows["w"])
            reconstructed = self.synthesize(rows["w"] + self.editor.displacement(decoded - y))
            parts, weights = {"reconstruction": losses.image_loss(img, reconstructed) / self.image_unit}, {}
            if self.settings.reconstruction == "image":
                parts["hinge"] = losses.difference_hinge(img, reconstructed)
                weights["hinge"] = self.settings.hinge_weight
            return parts, {"reconstruction": 1.0, **weights}
        if self.settings.reconstruction == "pullback" and not self.editor.visible:
            return {"reconstruction": losses.pullback_loss(decoded - y, self.metric_factor)}, {
                "reconstruction": 1.0
            }
        return {"reconstruction": losses.w_loss(y, decoded)}, {"reconstruction": 1.0}

    def _edits(
        self, y: Tensor, y_edited: Tensor, target_code: Tensor, target: Tensor, edited: Tensor, step: Tensor
    ) -> dict[str, Tensor]:
        """The terms on one edit of each sample."""
        assert self.probes is not None
        read = self.probes(y_edited)
        unnatural = (y_edited - y - (edited * step) @ self.natural) / self.spread
        return {
            "edit": losses.edit_loss(read, target, edited),
            "preserve": losses.preserve_loss(read, target, edited),
            "cycle": losses.cycle_loss(target_code, self.editor.encoder(y_edited)),
            "move": (y_edited - y).square().sum(dim=1).mean(),
            "natural": (edited @ self.natural_scale * unnatural.square().sum(dim=1)).mean(),
        }

    def _targets(self, key: Tensor, code: Tensor, progress: float) -> tuple[Tensor, Tensor]:
        """Which attribute to edit, one-hot ``[N, K]``, and by how much, ``[N, 1]``."""
        count = len(self.editor.columns)
        which, quantile = losses.row_uniforms(key, progress, 2).unbind(dim=1)
        k = (which * count).long()
        now = code.detach().gather(1, self.first[k, None])[:, 0]
        step = self.marginals[(quantile * LEVELS).long(), k] - now
        return nn.functional.one_hot(k, count).to(code), step.clamp(-LONGEST, LONGEST)[:, None]
