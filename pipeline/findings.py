"""From the arrays of an evaluation's trials to its numbers and tables."""

from __future__ import annotations

__all__ = ["cost_numbers", "further_numbers", "overwritten_table"]

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipeline.bench import Arrays
from pipeline.editors import load_editor
from pipeline.metrics.cost import edit_milliseconds, parameter_count
from pipeline.metrics.disentanglement import dci, mig, sap
from pipeline.metrics.protocol import (
    consistency_numbers,
    overwrite_error,
    overwrite_numbers,
    overwritten,
    realism_numbers,
    sequence_numbers,
    slider_numbers,
)
from pipeline.metrics.summary import PERCEPTUAL, Measured, numbers
from pipeline.plan import INVERTED, OUTSIDE, orders_of
from pipeline.protocol import TARGETS
from pipeline.reporting import EvaluateParams

THRESHOLDS = (0.25, 0.75)  # quantiles of the judge beyond which it sees the other side
BATCHES = (1, 1024)  # at which an edit is timed


def further_numbers(
    asked: EvaluateParams, measured: Measured, found: Mapping[str, Arrays], values: NDArray[np.float64]
) -> dict[str, Any]:
    """The numbers of the trials beside single edits, as far as they were asked for."""
    edits = found["edits"]
    often = {"resamples": asked.bootstrap, "seed": asked.seed}
    further: dict[str, Any] = {"realism": realism_numbers(measured, asked.delta)}
    if asked.slider_faces:
        slid = {name.removeprefix("slid_"): edits[name] for name in edits if name.startswith("slid_")}
        further["sliders"] = slider_numbers(slid, values, **often)
    if "overwrite" in found:
        succeeded, error = _set(measured, found["overwrite"])
        further["overwrite"] = overwrite_numbers(found["overwrite"], succeeded, error, **often)
    if asked.sequence_faces:
        orders = orders_of(measured.columns, asked.seed)
        ends = [found[f"sequence {n}"] for n in range(len(orders))]
        first = {name: edits[name][: asked.sequence_faces] for name in ("before", "known")}
        further["sequence"] = sequence_numbers(orders, ends, first, measured, asked.delta, **often)
        further["consistency"] = consistency_numbers(ends, **often)
    for name in (OUTSIDE, INVERTED):
        if name in found:
            ids = np.arange(len(found[name]["labels"]))
            elsewhere = replace(measured, ids=ids, arrays=found[name], deltas=(asked.delta,))
            rest = {key: found[name][key] for key in ("inversion_rmse",) if key in found[name]}
            further[name] = numbers(elsewhere.scores(asked.delta) | rest, **often)
    if asked.code:
        codes, factors = edits["code"], edits["before"]
        parts = dci(codes, factors, seed=asked.seed)
        further["code"] = {
            "dci_disentanglement": round(parts.disentanglement, 6),
            "dci_completeness": round(parts.completeness, 6),
            "dci_informativeness": round(parts.informativeness, 6),
            "mig": round(mig(codes, factors), 6),
            "sap": round(sap(codes, factors), 6),
        }
    return further


def _set(measured: Measured, found: Arrays) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Of values that were set, ``[N, K]``: whether the judge sees the new side, and how far it is off.

    What the labeler calls a quantile of the samples is for the judge the same quantile of the originals.
    """
    thresholds, targets = (np.quantile(measured.arrays["before"], q, axis=0) for q in (THRESHOLDS, TARGETS))
    return overwritten(found, thresholds), overwrite_error(found, targets, measured.judge_sigma)


def overwritten_table(measured: Measured, found: Arrays) -> pa.Table:
    """One row for each attribute of each latent that was set to a value."""
    succeeded, error = _set(measured, found)
    count, columns = succeeded.shape
    return pa.table(
        {
            "id": measured.ids[:count].repeat(columns),
            "attribute": np.tile(measured.columns, count),
            "success": succeeded.reshape(-1),
            "error": error.reshape(-1),
            **{
                name: found[name].reshape(-1)
                for name in ("rmse", "psnr", "ssim", "identity", *PERCEPTUAL)
                if name in found
            },
        }
    )


def cost_numbers(folder: str, w: NDArray[np.float32], timings: bool) -> dict[str, float]:
    """Parameters, and the time of an edit in this process, when it is asked for."""
    editor = load_editor(folder)
    found: dict[str, float] = {"parameters": parameter_count(editor)}
    if timings:
        styles = torch.from_numpy(w)
        found |= {f"edit_ms_{batch}": edit_milliseconds(editor, styles, batch) for batch in BATCHES}
    return found
