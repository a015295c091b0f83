"""The pull-back metric of the generator, its vector-Jacobian products spread over actors of Ray Data.

The arithmetic is :mod:`pipeline.generators.pullback`'s. A shard is a range of styles; its latents and its
image noise depend on the seed and the row alone, and shards are summed in their order: the metric does not
depend on the cluster. Finished shards wait in ``.work/pullback``, or in ``cluster.storage``, so that a run
that was killed goes on from them; then all that is made of them appears as ``data/pullback`` in one step.
"""

from __future__ import annotations

__all__ = ["TOLERANCE", "PullbackActor", "estimate_metric"]

import csv
import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from pipeline.cluster import connect, map_shards
from pipeline.config import Params, PullbackParams
from pipeline.data import new_folder
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.low_rank import Metric, trace_of, truncate
from pipeline.generators.pullback import (
    CONVERGENCE,
    convergence,
    image_products,
    metric_sum,
    save_layer_metrics,
    save_metric,
    stable_after,
)
from pipeline.generators.validity import FRACTIONS, image_changes, validity
from pipeline.paths import PULLBACK
from pipeline.sampling import draw_styles
from pipeline.scratch import JOB_VARIABLE, code_digest, work_folder, work_storage
from pipeline.storage import Storage
from pipeline.weights import weights_digest

TOLERANCE = 0.05
"""The spectrum counts as stable when its leading eigenvalues move by less than this on average."""

PARTS = (8, 4, 2)  # the metric is compared with those of an eighth, a quarter and half of its shards
LAYER_RANK = 64
CHECK_EVERY = 8  # one style in so many is the start of steps toward a style of another stream
PARTNER_STREAM = 1 << 60
CODE = ("generators", "pulling", "sampling", "rows")


class PullbackActor:
    """A generator that gives products.

    Arguments:
        generator: folder of the generator.
        seed: seeds latents and image noise.
        truncation_psi: see :meth:`Generator.mapping`.
        class_label: see :func:`pipeline.sampling.draw_styles`.
        batch_size: styles at once.
        noises: products for each style.
        per_layer: whether products are with respect to per-layer styles.
        work: where the shards go, a folder or the URI of a storage.
        device: where torch computes.
    """

    def __init__(
        self,
        generator: str,
        seed: int,
        truncation_psi: float,
        class_label: int | None,
        batch_size: int,
        noises: int,
        per_layer: bool,
        work: str,
        device: str,
    ) -> None:
        self.generator = load_generator(generator, device)
        self.synthesize = self.generator.prepare()
        self.seed, self.truncation_psi, self.class_label = seed, truncation_psi, class_label
        self.batch_size, self.noises, self.per_layer = batch_size, noises, per_layer
        self.work, self.device = Storage(work), device

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        """Write the products of the styles ``first`` to ``stop``, and a few checks, to the file ``name``."""
        ids = np.arange(shard["first"], shard["stop"])
        checked = [self._check(batch) for batch in self._batches(ids[::CHECK_EVERY])]
        steps, changes = (torch.cat(parts) for parts in zip(*checked, strict=True))
        products = torch.cat([self._products(batch) for batch in self._batches(ids)])
        tensors = {"products": products, "steps": steps, "changes": changes}
        self.work.write(shard["name"], save(tensors))
        return {"count": len(products)}

    def _batches(self, ids: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [ids[at : at + self.batch_size] for at in range(0, len(ids), self.batch_size)]

    def _products(self, ids: NDArray[np.int64]) -> Tensor:
        """``[N·noises, w_dim]``, or ``[N·noises, num_ws, w_dim]`` for each layer."""
        w = self._styles(ids)
        if not self.per_layer:
            return image_products(self.synthesize, w, ids, self.seed, self.noises)
        ws = self.generator.broadcast(w)
        return image_products(self.generator.synthesis, ws, ids, self.seed, self.noises)

    def _check(self, ids: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Steps ``[N, S, w_dim]`` toward unrelated styles and what they change, ``[N, S]``."""
        w, partner = self._styles(ids), self._styles(ids + PARTNER_STREAM)
        steps = torch.stack([(partner - w) * fraction for fraction in FRACTIONS], dim=1)
        return steps.cpu(), image_changes(self.synthesize, w, steps)

    def _styles(self, ids: NDArray[np.int64]) -> Tensor:
        return draw_styles(self.generator, self.seed, ids, self.truncation_psi, self.class_label, self.device)


def estimate_metric(
    params: Params, on_products: Callable[[int, bool], None] = lambda count, earlier: None
) -> dict[str, Any]:
    """Estimate the metric into ``data/pullback``; shards that an earlier, killed run has finished are kept.

    Arguments:
        params: all parameters.
        on_products: called with a number of products that are done, and whether an earlier run did them.

    Returns:
        The report that is written beside the metric: its origin, how far it has converged, how well it
        predicts image changes.

    Raises:
        PipelineError: when the generator's gradients are not finite.
    """
    asked, generator = params.pullback, params.generator.weights
    origin = _origin(params)
    shards = _shards(asked)
    facts = {"batch": asked.batch_size, "code": code_digest(*CODE), "job": os.environ.get(JOB_VARIABLE)}
    folder = work_folder("pullback", origin | facts)
    work = work_storage(params.cluster.storage, folder)
    missing = [shard for shard in shards if not work.has(shard["name"])]
    on_products(asked.noises * sum(s["stop"] - s["first"] for s in shards if s not in missing), True)
    if missing:
        _fill(params, work, missing, on_products)
    pixels = 3 * load_generator(generator).img_resolution ** 2
    sums = _add_up(work, [shard["name"] for shard in shards], pixels, asked.per_layer)
    if not np.isfinite(trace_of(sums.metric)):
        raise PipelineError(
            f"expected finite gradients, got NaN or infinity, of the generator in {generator}"
        )
    report = origin | _findings(sums)
    with new_folder(PULLBACK) as folder:
        save_metric(folder, sums.metric, report)
        (folder / CONVERGENCE).write_text(_csv(report["convergence"]))
        if sums.layers:
            save_layer_metrics(folder, [truncate(layer, LAYER_RANK) for layer in sums.layers])
    work.delete()
    return report


def _origin(params: Params) -> dict[str, Any]:
    """What products depend on, but for their batches."""
    return {
        "generator": weights_digest(params.generator.weights),
        "truncation_psi": params.generator.truncation_psi,
        "class_label": params.generator.class_label,
        "seed": params.pullback.seed,
        "noises": params.pullback.noises,
        "per_layer": params.pullback.per_layer,
    }


def _shards(asked: PullbackParams) -> list[dict[str, Any]]:
    """Ranges of styles, in order, and the file that each goes to."""
    styles, size = -(-asked.products // asked.noises), -(-asked.shard_products // asked.noises)
    ranges = [(first, min(first + size, styles)) for first in range(0, styles, size)]
    return [{"first": first, "stop": stop, "name": f"{first}-{stop}.safetensors"} for first, stop in ranges]


def _fill(
    params: Params,
    work: Storage,
    missing: Sequence[Mapping[str, Any]],
    on_products: Callable[[int, bool], None],
) -> None:
    """Let actors make the shards that are missing in ``work``."""
    asked = params.pullback
    kwargs = {
        "generator": params.generator.weights,
        "seed": asked.seed,
        "truncation_psi": params.generator.truncation_psi,
        "class_label": params.generator.class_label,
        "batch_size": asked.batch_size,
        "noises": asked.noises,
        "per_layer": asked.per_layer,
        "work": work.place,
    }
    with connect(params.cluster):
        map_shards(
            missing,
            PullbackActor,
            kwargs,
            params.cluster.pullback,
            lambda result: on_products(result["count"], False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sums:
    """What the shards add up to.

    Attributes:
        products: how many there are.
        parts: the metrics of fewer products, by their number, ascending.
        metric: that of all.
        layers: those of the layers, when products are per layer.
        steps: the checks of :mod:`pipeline.generators.validity`, ``[N, S, w_dim]``.
        changes: and what they found, ``[N, S]``.
    """

    products: int
    parts: Mapping[int, Metric]
    metric: Metric
    layers: Sequence[Metric]
    steps: Tensor
    changes: Tensor


def _add_up(work: Storage, files: Sequence[str], pixels: int, per_layer: bool) -> _Sums:
    """Add the shards in their order, one in memory at a time."""
    looks = {len(files) // part for part in PARTS}
    parts, checks, count = {}, [], 0
    width = load(work.read(files[0]))["products"].shape[1:]
    whole, layers = metric_sum(width[-1]), [metric_sum(width[-1]) for _ in range(width[0]) if per_layer]
    for index, file in enumerate(files, start=1):
        shard = load(work.read(file))
        products = shard["products"].double()
        count += len(products)
        if per_layer:
            for layer, rows in zip(layers, products.unbind(dim=1), strict=True):
                layer.add(rows)
            products = products.sum(dim=1)  # w goes to every layer
        whole.add(products)
        checks.append((shard["steps"], shard["changes"]))
        if index in looks:
            parts[count] = whole.metric(1 / (count * pixels))
    scale = 1 / (count * pixels)
    steps, changes = (torch.cat(each) for each in zip(*checks, strict=True))
    return _Sums(
        products=count,
        parts=parts,
        metric=whole.metric(scale),
        layers=[layer.metric(scale) for layer in layers],
        steps=steps,
        changes=changes,
    )


def _findings(sums: _Sums) -> dict[str, Any]:
    """How far the metric has converged, how well it predicts image changes, and what each layer shows."""
    trace, width = trace_of(sums.metric), sums.steps.shape[-1]
    rows = [{"products": count, **convergence(part, sums.metric)} for count, part in sums.parts.items()]
    shown = [trace_of(layer) for layer in sums.layers]
    return {
        "products": sums.products,
        "rms_pixel_change_per_unit": (trace / width) ** 0.5,
        "convergence": rows,
        "stable_after": stable_after(rows, TOLERANCE),
        "validity": validity(sums.metric, sums.steps, sums.changes),
    } | ({"layer_energy": [share / sum(shown) for share in shown]} if shown else {})


def _csv(rows: Sequence[Mapping[str, float]]) -> str:
    """A table that ``dvc plots`` draws; without rows, as of a single shard, the headings alone."""
    text = io.StringIO()
    names = ("products", "trace_change", "spectrum_change", "overlap")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
