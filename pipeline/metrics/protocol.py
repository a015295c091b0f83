"""The numbers of what is tried beside single edits: sliders, sequences, overwritten attributes, realism.

Each function takes the arrays of a trial (see :mod:`pipeline.trials`) and gives a mapping of numbers, those
with an interval by :func:`pipeline.metrics.summary.numbers`.

References:
    | Nie et al., "Controllable and compositional generation with latent-space energy-based models" (LACE),
    arXiv 2110.10873 (sequential edits)
    | Abdal et al., "StyleFlow", arXiv 2008.02401 (edit consistency)
"""

from __future__ import annotations

__all__ = [
    "consistency_numbers",
    "overwrite_error",
    "overwrite_numbers",
    "overwritten",
    "realism_numbers",
    "sequence_numbers",
    "slider_numbers",
]

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pipeline.attributes import same_attribute
from pipeline.metrics.editing import moves_in_sigma
from pipeline.metrics.realism import frechet_distance, kernel_distance
from pipeline.metrics.sliders import path_length, spearman, uniformity
from pipeline.metrics.summary import PERCEPTUAL, Measured, numbers

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray]


def slider_numbers(slid: Arrays, positions: Floats, *, resamples: int, seed: int) -> dict[str, float]:
    """Spearman of slider against judge, uniformity of its steps, perceptual path length along it."""
    found = {
        "spearman": spearman(positions, slid["scores"]),
        "uniformity": uniformity(positions, slid["scores"]),
        "path_length": path_length(positions, slid["steps"]),
    }
    return numbers(found, resamples=resamples, seed=seed)


def realism_numbers(measured: Measured, delta: float) -> dict[str, float]:
    """FID and KID of the images of one move against the originals, in the features of the identity network.

    The edits of all attributes are one set; those that did not reach their move are not in it.
    """
    edited = measured.at("seen", delta)[measured.at("reached", delta)]
    if len(edited) < 2:
        return {}
    known = measured.arrays["known"]
    return {
        "fid": round(frechet_distance(known, edited), 6),
        "kid": round(kernel_distance(known, edited), 6),
    }


def overwritten(found: Arrays, thresholds: Floats) -> NDArray[np.bool_]:
    """``[N, K]``: whether the judge puts the overwritten attribute beyond the threshold of its new side.

    Arguments:
        found: the arrays of the trial.
        thresholds: of the judge for the low and the high side, ``[2, K]``.
    """
    target = np.diagonal(found["after"], axis1=1, axis2=2)
    return np.where(found["direction"] > 0, target >= thresholds[1], target <= thresholds[0])


def overwrite_error(found: Arrays, targets: Floats, sigma: Floats) -> Floats:
    """``[N, K]``: how far, in ``sigma [K]``, the judge is from what should have been set.

    Success counts what goes too far as a success; here it is as wrong as what falls short.

    Arguments:
        found: the arrays of the trial.
        targets: a low and a high value of the judge, ``[2, K]``.
        sigma: of the judge.
    """
    reached = np.diagonal(found["after"], axis1=1, axis2=2)
    return np.abs(reached - np.where(found["direction"] > 0, targets[1], targets[0])) / sigma


def overwrite_numbers(
    found: Arrays, succeeded: NDArray[np.bool_], error: Floats, *, resamples: int, seed: int
) -> dict[str, float]:
    """Success under fixed thresholds, the distance from the value, and how near the images stay."""
    mse = np.square(found["rmse"])
    rest = {name: found[name] for name in ("psnr", "ssim", "identity", *PERCEPTUAL) if name in found}
    scores = {"success": succeeded.astype(np.float64), "error": error, "mse": mse, **rest}
    return numbers(scores, resamples=resamples, seed=seed)


def sequence_numbers(
    orders: Sequence[Sequence[int]],
    found: Sequence[Arrays],
    originals: Arrays,
    measured: Measured,
    delta: float,
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """After each of P edits, over all orders: ``step_1`` to ``step_P``.

    ``accuracy`` is the share of the edits so far that the judge still sees moved by half of ``delta``;
    ``dependency`` the mean absolute move of the attributes that no edit was asked of, in σ; ``identity`` as
    for single edits; ``fid`` that of the images against the originals.

    Arguments:
        orders: the columns of each order, P each.
        found: the arrays of each order's trial.
        originals: ``before [N, K]`` and ``known [N, E]`` of the same latents.
        measured: scales and columns.
        delta: the move of each edit.
        resamples: of the intervals.
        seed: of the resamples.
    """
    steps, same = {}, same_attribute(measured.columns)
    for step in range(len(orders[0])):
        kept, leaked, identity, seen = [], [], [], []
        for order, arrays in zip(orders, found, strict=True):
            asked = list(order[: step + 1])
            moves = moves_in_sigma(originals["before"], arrays["after"][:, step], measured.judge_sigma)
            along = moves[:, asked] * arrays["direction"][:, : step + 1]
            others = ~same[asked].any(axis=0)
            kept.append((along >= delta / 2).mean(axis=1))
            leaked.append(
                np.abs(moves[:, others]).mean(axis=1) if others.any() else np.full(len(moves), np.nan)
            )
            identity.append(arrays["identity"][:, step])
            seen.append(arrays["seen"][:, step])
        values = {
            name: np.stack(each, axis=1)
            for name, each in (("accuracy", kept), ("dependency", leaked), ("identity", identity))
        }
        distances = [frechet_distance(originals["known"], features) for features in seen]
        steps[f"step_{step + 1}"] = numbers(values, resamples=resamples, seed=seed) | {
            "fid": round(float(np.mean(distances)), 6)
        }
    return steps


def consistency_numbers(found: Sequence[Arrays], *, resamples: int, seed: int) -> dict[str, float]:
    """How alike the same edits in different orders end: identity similarity, and RMSE of pixels."""
    pairs = list(combinations(found, 2))
    alike = [(a["seen"][:, -1] * b["seen"][:, -1]).sum(axis=1) for a, b in pairs]
    pixels = [
        np.sqrt(np.square((a["pixels"].astype(float) - b["pixels"]) / 127.5).mean(axis=(1, 2, 3)))
        for a, b in pairs
    ]
    values = {"identity": np.stack(alike, axis=1), "rmse": np.stack(pixels, axis=1)}
    return numbers(values, resamples=resamples, seed=seed)
