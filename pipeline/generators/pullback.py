"""The generator's pull-back metric: how far apart two styles are in images, without making the images.

To second order ``mean((G(w + d) - G(w))²) ≈ dᵀ M d`` with ``M = E_w[J(w)ᵀ J(w)] / (3·H·W)``, J the Jacobian
of the image in w. For unit-variance image noise u, ``v = Jᵀu`` has ``E[v vᵀ] = JᵀJ``, so backward passes
estimate M without bias; the products are summed in float64. A factor F of M turns the form into a plain
distance: ``dᵀ M d = |F d|²``.

What products scatter by is mostly their noise and little their style, and a backward pass is dearer than a
forward one, but not by much: several noises for each style (``noises``) share its forward pass and buy the
same precision in less time. Of per-layer styles the same backward pass gives one metric for each layer.

The metric is an average over styles: right on average for small steps, rough for a single sample and for
large ones (see :mod:`pipeline.generators.validity`).
"""

from __future__ import annotations

__all__ = [
    "CONVERGENCE",
    "METRIC",
    "REPORT",
    "Whitening",
    "convergence",
    "image_noise",
    "image_products",
    "load_layer_metrics",
    "load_metric",
    "metric_sum",
    "save_layer_metrics",
    "save_metric",
    "stable_after",
    "whitening",
]

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.generators.base import Synthesis
from pipeline.generators.low_rank import (
    FULL_WIDTH,
    FullSum,
    LowRank,
    LowRankSum,
    Metric,
    leading,
    trace_of,
)
from pipeline.rows import row_generators
from pipeline.weights import write_atomic

METRIC = "metric.safetensors"
LAYERS = "layers.safetensors"
REPORT = "metric.json"
CONVERGENCE = "convergence.csv"
NOISE_STREAM = (
    1 << 62
)  # added to the ids, so that image noise is independent of latents drawn with the same seed


def image_products(
    synthesize: Synthesis, styles: Tensor, ids: NDArray[np.int64], seed: int, noises: int = 1
) -> Tensor:
    """Products ``v = J(w)ᵀ u`` of the image's Jacobian with image noise.

    Arguments:
        synthesize: styles to images, of a frozen generator.
        styles: what it takes, ``w [N, w_dim]`` or ``ws [N, num_ws, w_dim]``.
        ids: one id for each style; its noises depend on (seed, id, noises) and nothing else.
        seed: seeds the image noise.
        noises: products for each style, which share one forward pass.

    Returns:
        ``[N·noises, ...]``, those of one style together, on the CPU.
    """
    with torch.enable_grad():
        leaf = styles.detach().requires_grad_(True)
        img = synthesize(leaf)
        found: list[Tensor] = []
        for index in range(noises):
            signs = image_noise(seed, ids * noises + index + NOISE_STREAM, img[0].numel())
            noise = torch.from_numpy(signs).to(img).reshape(img.shape)
            found += torch.autograd.grad(img, leaf, noise, retain_graph=index + 1 < noises)
    return torch.stack(found, dim=1).flatten(0, 1).cpu()


def image_noise(seed: int, ids: NDArray[np.int64], values: int) -> NDArray[np.int8]:
    """Random signs ``[N, values]``: of unit variance as normals are, in a quarter of the bytes and less time.

    Row i is a function of ``(seed, ids[i])`` alone (Philox).
    """
    drawn = [random.bytes(-(-values // 8)) for random in row_generators(seed, ids.tolist())]
    packed = np.frombuffer(b"".join(drawn), dtype=np.uint8).reshape(len(ids), -1)
    return 2 * np.unpackbits(packed, axis=1, count=values).view(np.int8) - 1


def metric_sum(width: int) -> FullSum | LowRankSum:
    """An empty sum of products of this width.

    Add products, then take ``metric(1 / (count · 3·H·W))``: the mean squared pixel change for each squared
    unit of w.
    """
    return FullSum(width) if width <= FULL_WIDTH else LowRankSum(width)


class Whitening(NamedTuple):
    """Visible coordinates ``y = factor @ w`` and the way back.

    Attributes:
        factor: ``[rank, w_dim]``; ``|factor @ d|²`` is ``dᵀ M d`` restricted to the most visible directions.
        inverse: ``[w_dim, rank]``; ``factor @ inverse`` is the identity.
        eigenvalues: all that are known, ``[w_dim]`` or those of a low-rank metric, descending.
        energy: the share of the trace of M that the kept directions hold.
    """

    factor: Tensor
    inverse: Tensor
    eigenvalues: Tensor
    energy: float


def whitening(metric: Metric, rank: int | None = None, energy: float | None = None) -> Whitening:
    """A factor of the metric over its most visible directions.

    Arguments:
        metric: ``[w_dim, w_dim]``, symmetric and positive semi-definite, or a :class:`LowRank`, whose
            visible directions are those of its factor.
        rank: how many directions; ``None`` for as many as ``energy`` asks.
        energy: the share of the trace to hold, in (0, 1]; ``None`` for every direction that is not
            numerically zero. What a low-rank metric cannot hold is left out.

    Raises:
        PipelineError: when the metric holds NaN, is no square matrix, or has fewer visible directions than
            ``rank``.
    """
    _check(metric)
    values, vectors = leading(metric)
    share = values.cumsum(0) / trace_of(metric)
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


def _check(metric: Metric) -> None:
    """Refuse what is no metric."""
    if isinstance(metric, LowRank):
        square, parts = metric.factor.shape[1:] == metric.diagonal.shape, list(metric)
    else:
        square, parts = metric.ndim == 2 and metric.shape[0] == metric.shape[1], [metric]
    if not square or not all(bool(torch.isfinite(part).all()) for part in parts):
        shapes = " and ".join(str(list(part.shape)) for part in parts)
        raise PipelineError(f"expected a finite, square metric, got shape {shapes}: run 'pullback' again")


def convergence(part: Metric, whole: Metric, directions: int = 64) -> dict[str, float]:
    """How much the metric still moved between some of the products and all of them.

    For half of the products the change is about the standard error of the whole: two halves differ by twice
    as much as each differs from their mean.

    Arguments:
        part: the metric from the first products.
        whole: the metric from all of them.
        directions: how many of the most visible directions to compare.

    Returns:
        ``trace_change``: relative change of the trace; ``spectrum_change``: mean relative change of the
        leading eigenvalues; ``overlap``: mean squared cosine between the leading subspaces (1: the same).
    """
    (p_values, p_vectors), (w_values, w_vectors) = leading(part), leading(whole)
    top = slice(min(directions, len(p_values), len(w_values)))
    change = (p_values[top] - w_values[top]).abs() / w_values[top].clamp_min(1e-30)
    cosines = (p_vectors[:, top].T @ w_vectors[:, top]).square().sum() / len(change)
    return {
        "trace_change": abs(trace_of(part) - trace_of(whole)) / trace_of(whole),
        "spectrum_change": float(change.mean()),
        "overlap": float(cosines),
    }


def stable_after(rows: Sequence[Mapping[str, float]], tolerance: float) -> int | None:
    """The number of products from which on the leading eigenvalues stay within ``tolerance``.

    Arguments:
        rows: :func:`convergence` with its ``products``, ascending.
        tolerance: of ``spectrum_change``.

    Returns:
        ``None`` when not even the last row is within it: more products are needed.
    """
    moved = [index for index, row in enumerate(rows) if row["spectrum_change"] > tolerance]
    settled = rows[moved[-1] + 1 if moved else 0 :]
    return int(settled[0]["products"]) if settled else None


def save_metric(folder: str | Path, metric: Metric, report: Mapping[str, Any]) -> None:
    """Write ``metric.safetensors`` and ``metric.json``, each whole or not at all.

    Arguments:
        folder: where to.
        metric: ``[w_dim, w_dim]`` or low-rank.
        report: what the metric was made from, and how far it is to be trusted; plain JSON values.
    """
    tensors = metric._asdict() if isinstance(metric, LowRank) else {"metric": metric}
    _save(Path(folder) / METRIC, tensors)
    write_atomic(Path(folder) / REPORT, (json.dumps(dict(report), indent=2) + "\n").encode())


def load_metric(folder: str | Path) -> Metric:
    """Read the metric: ``[w_dim, w_dim]`` or, for a great ``w_dim``, low-rank; float64.

    Raises:
        PipelineError: when the file is missing or damaged.
    """
    path = Path(folder) / METRIC
    tensors = _load(path, "run the stage 'pullback' first")
    try:
        return tensors["metric"] if "metric" in tensors else LowRank(**tensors)
    except TypeError as error:
        raise _damaged(path, error) from error


def save_layer_metrics(folder: str | Path, layers: Sequence[LowRank]) -> None:
    """Write ``layers.safetensors``, whole or not at all: one metric for each style input of the synthesis."""
    parts = {name: torch.stack([getattr(layer, name) for layer in layers]) for name in LowRank._fields}
    _save(Path(folder) / LAYERS, parts)


def load_layer_metrics(folder: str | Path) -> list[LowRank]:
    """Read the metrics of the layers, ``num_ws`` of them, float64.

    Together they are the diagonal blocks of the metric of ``ws``: ``Σ_l d_lᵀ M_l d_l`` is the mean squared
    pixel change of steps that are independent from layer to layer.

    Raises:
        PipelineError: when the file is missing or damaged.
    """
    path = Path(folder) / LAYERS
    tensors = _load(path, "set pullback.per_layer: true and run the stage 'pullback'")
    try:
        return [LowRank(*parts) for parts in zip(tensors["factor"], tensors["diagonal"], strict=True)]
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    write_atomic(path, save({name: t.detach().double().cpu().contiguous() for name, t in tensors.items()}))


def _load(path: Path, advice: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise PipelineError(f"expected the pull-back metric in {path}, got no file: {advice}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> PipelineError:
    return PipelineError(
        f"expected a pull-back metric in {path}, got a damaged file ({error}): run 'pullback' again"
    )
