"""The generator's pull-back metric: how far apart two styles are in images, without making the images.

To second order ``mean((G(w + d) - G(w))²) ≈ dᵀ M d`` with ``M = E_w[J(w)ᵀ J(w)] / (3·H·W)``, J the Jacobian
of the image in w. For unit-variance image noise u, ``v = Jᵀu`` has ``E[v vᵀ] = JᵀJ``, so one backward pass
for each sample estimates M without bias; the products are summed in float64. A factor F of M turns the form
into a plain distance: ``dᵀ M d = |F d|²``.

The metric is an average over styles: right on average for small steps, rough for a single sample and for
large ones.
"""

from __future__ import annotations

__all__ = [
    "Whitening",
    "convergence",
    "load_metric",
    "metric_products",
    "normalise",
    "save_metric",
    "whitening",
]

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline.data import row_normals
from pipeline.errors import PipelineError
from pipeline.generators.base import Generator
from pipeline.weights import write_atomic

METRIC = "metric.safetensors"
REPORT = "metric.json"
NOISE_STREAM = (
    1 << 62
)  # added to the ids, so that image noise is independent of latents drawn with the same seed


def metric_products(generator: Generator, w: Tensor, ids: NDArray[np.int64], seed: int) -> Tensor:
    """The sum over rows of ``v vᵀ``, ``v = J(w)ᵀ u``.

    Arguments:
        generator: a frozen generator.
        w: style vectors ``[N, w_dim]``.
        ids: one id for each row; the image noise of a row depends on (seed, id) and nothing else.
        seed: seeds the image noise.

    Returns:
        ``[w_dim, w_dim]``, float64, on the CPU. Add up over batches, then call :func:`normalise`.
    """
    with torch.enable_grad():
        leaf = w.detach().requires_grad_(True)
        img = generator.synthesize(leaf)
        noise = torch.from_numpy(row_normals(seed, ids + NOISE_STREAM, img[0].numel())).to(img)
        (product,) = torch.autograd.grad(img, leaf, noise.reshape(img.shape))
    product = product.detach().double().cpu()
    return product.T @ product


def normalise(total: Tensor, count: int, pixels: int) -> Tensor:
    """The metric from summed products: the mean squared pixel change for each squared unit of w.

    Arguments:
        total: sum of ``count`` products, ``[w_dim, w_dim]``.
        count: how many products it holds.
        pixels: values in one image, ``3·H·W``.
    """
    return (total + total.T) / (2 * count * pixels)


class Whitening(NamedTuple):
    """Visible coordinates ``y = factor @ w`` and the way back.

    Attributes:
        factor: ``[rank, w_dim]``; ``|factor @ d|²`` is ``dᵀ M d`` restricted to the most visible directions.
        inverse: ``[w_dim, rank]``; ``factor @ inverse`` is the identity.
        eigenvalues: all of them, ``[w_dim]``, descending.
        energy: the share of the trace of M that the kept directions hold.
    """

    factor: Tensor
    inverse: Tensor
    eigenvalues: Tensor
    energy: float


def whitening(metric: Tensor, rank: int | None = None, energy: float | None = None) -> Whitening:
    """A factor of the metric over its most visible directions.

    Arguments:
        metric: ``[w_dim, w_dim]``, symmetric and positive semi-definite.
        rank: how many directions; ``None`` for as many as ``energy`` asks.
        energy: the share of the trace to hold, in (0, 1]; ``None`` for every direction that is not
            numerically zero.

    Raises:
        PipelineError: when the metric holds NaN, is no square matrix, or has fewer visible directions than
            ``rank``.
    """
    if metric.ndim != 2 or metric.shape[0] != metric.shape[1] or not bool(torch.isfinite(metric).all()):
        raise PipelineError(
            f"expected a finite, square metric, got shape {list(metric.shape)}: run 'pullback' again"
        )
    values, vectors = torch.linalg.eigh(metric.double())
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    vectors = vectors * torch.sign(
        vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    )  # LAPACK's sign is free
    share = values.cumsum(0) / values.sum()
    visible = int((values > values[0] * 1e-12).sum())
    if rank is None:
        rank = min(visible, int((share < energy).sum()) + 1) if energy is not None else visible
    if not 1 <= rank <= visible:
        raise PipelineError(
            f"expected a rank in [1, {visible}], got {rank}, for the pull-back metric: lower the rank"
        )
    scale = values[:rank].sqrt()
    basis = vectors[:, :rank]
    return Whitening((basis * scale).T.contiguous(), basis / scale, values, float(share[rank - 1]))


def convergence(half: Tensor, whole: Tensor, directions: int = 64) -> dict[str, float]:
    """How much the metric still moved between half of the products and all of them.

    Arguments:
        half: the metric from the first half of the products.
        whole: the metric from all of them.
        directions: how many of the most visible directions to compare.

    Returns:
        ``trace_change``: relative change of the trace; ``spectrum_change``: mean relative change of the
        leading eigenvalues; ``overlap``: mean squared cosine between the leading subspaces (1: the same).
    """
    directions = min(directions, len(whole))
    (h_values, h_vectors), (w_values, w_vectors) = (
        torch.linalg.eigh(half.double()),
        torch.linalg.eigh(whole.double()),
    )
    top = slice(-directions, None)
    change = (h_values[top] - w_values[top]).abs() / w_values[top].clamp_min(1e-30)
    cosines = (h_vectors[:, top].T @ w_vectors[:, top]).square().sum() / directions
    return {
        "trace_change": float((half.trace() - whole.trace()).abs() / whole.trace()),
        "spectrum_change": float(change.mean()),
        "overlap": float(cosines),
    }


def save_metric(folder: str | Path, metric: Tensor, report: Mapping[str, Any]) -> None:
    """Write ``metric.safetensors`` and ``metric.json``, each whole or not at all.

    Arguments:
        folder: where to.
        metric: ``[w_dim, w_dim]``.
        report: what the metric was made from, and :func:`convergence`; plain JSON values.
    """
    write_atomic(Path(folder) / METRIC, save({"metric": metric.detach().double().cpu().contiguous()}))
    write_atomic(Path(folder) / REPORT, (json.dumps(dict(report), indent=2) + "\n").encode())


def load_metric(folder: str | Path) -> Tensor:
    """Read the metric ``[w_dim, w_dim]``, float64.

    Raises:
        PipelineError: when the file is missing or damaged.
    """
    path = Path(folder) / METRIC
    if not path.is_file():
        raise PipelineError(
            f"expected the pull-back metric in {path}, got no file: run the stage 'pullback' first"
        )
    try:
        return load_file(path)["metric"]
    except (SafetensorError, KeyError) as error:
        raise PipelineError(
            f"expected a pull-back metric in {path}, got a damaged file ({error}): run 'pullback' again"
        ) from error
