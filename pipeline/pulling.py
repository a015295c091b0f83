"""The pull-back metric of the generator, its vector-Jacobian products spread over actors of Ray Data.

The arithmetic is :mod:`pipeline.generators.pullback`'s. A shard is a range of rows, its latents and its image
noise depend on the seed and the row alone, and shards are summed in their order: the metric does not depend
on the cluster.
"""

from __future__ import annotations

__all__ = ["PullbackActor", "estimate_metric"]

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.cluster import connect, map_shards
from pipeline.config import Params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.generators.pullback import convergence, metric_products, normalise
from pipeline.sampling import draw_styles
from pipeline.weights import weights_digest


class PullbackActor:
    """A generator that gives sums of products.

    Arguments:
        generator: folder of the generator.
        seed: seeds latents and image noise.
        truncation_psi: see :meth:`Generator.mapping`.
        class_label: see :func:`pipeline.sampling.draw_styles`.
        batch_size: products at once.
        device: where torch computes.
    """

    def __init__(
        self,
        generator: str,
        seed: int,
        truncation_psi: float,
        class_label: int | None,
        batch_size: int,
        device: str,
    ) -> None:
        self.generator = load_generator(generator, device)
        self.seed, self.truncation_psi, self.class_label = seed, truncation_psi, class_label
        self.batch_size, self.device = batch_size, device

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        """The sum of the products of the rows ``first`` to ``stop``, ``[w_dim, w_dim]``, float64."""
        ids = np.arange(shard["first"], shard["stop"])
        batches = [ids[at : at + self.batch_size] for at in range(0, len(ids), self.batch_size)]
        total = sum(
            metric_products(self.generator, self._styles(batch), batch, self.seed) for batch in batches
        )
        assert isinstance(total, Tensor)
        return {"count": len(ids), "total": total.numpy()}

    def _styles(self, ids: np.ndarray) -> Tensor:
        return draw_styles(self.generator, self.seed, ids, self.truncation_psi, self.class_label, self.device)


def estimate_metric(
    params: Params, on_products: Callable[[int], None] = lambda count: None
) -> tuple[Tensor, dict[str, Any]]:
    """The metric ``[w_dim, w_dim]``, float64, and a report: its origin and how far it has converged.

    Arguments:
        params: all parameters.
        on_products: called with the number of products after each shard.

    Raises:
        PipelineError: when the generator's gradients are not finite.
    """
    asked, generator = params.pullback, params.generator.weights
    pixels = 3 * load_generator(generator).img_resolution ** 2
    shards = [
        {"first": first, "stop": min(first + asked.shard_products, asked.products)}
        for first in range(0, asked.products, asked.shard_products)
    ]
    kwargs = {
        "generator": generator,
        "seed": asked.seed,
        "truncation_psi": params.generator.truncation_psi,
        "class_label": params.generator.class_label,
        "batch_size": asked.batch_size,
    }
    with connect(params.cluster):
        results = map_shards(
            shards,
            PullbackActor,
            kwargs,
            params.cluster.pullback,
            lambda result: on_products(result["count"]),
        )
    whole = _mean(results, pixels)
    if not torch.isfinite(whole).all():
        raise PipelineError(
            f"expected finite gradients, got NaN or infinity, of the generator in {generator}"
        )
    report = {
        "generator": weights_digest(generator),
        "truncation_psi": params.generator.truncation_psi,
        "class_label": params.generator.class_label,
        "products": asked.products,
        "seed": asked.seed,
        "rms_pixel_change_per_unit": float((whole.trace() / len(whole)).sqrt()),
    }
    if len(results) > 1:
        report |= convergence(_mean(results[: len(results) // 2], pixels), whole)
    return whole, report


def _mean(results: list[Mapping[str, Any]], pixels: int) -> Tensor:
    """The metric of some shards, added in order."""
    total = sum(torch.from_numpy(result["total"]) for result in results)
    assert isinstance(total, Tensor)
    return normalise(total, sum(result["count"] for result in results), pixels)
