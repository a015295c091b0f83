"""``python -m pipeline attributes``: what can be edited."""

from __future__ import annotations

__all__ = ["list_attributes"]

import numpy as np

from pipeline import console
from pipeline.config import load_params
from pipeline.data import read_table
from pipeline.labelers import load_labeler
from pipeline.paths import LABELS

USUAL = (-2.0, 2.0)  # where nearly all of a normal distribution lies, when there are no labels to look at


def list_attributes() -> None:
    """Print each attribute's columns with kind, usual range in standard deviations, and second name."""
    params = load_params()
    labeler = load_labeler(params.labeler.weights, params.labeler.attributes)
    ranges = _ranges(labeler.columns)
    rows = [
        (column, attribute.kind, "{:+.1f} … {:+.1f}".format(*ranges[column]), attribute.alias or "")
        for attribute in labeler.attributes
        for column in attribute.columns
    ]
    console.table(["attribute", "kind", "usual range (σ)", "also called"], rows)
    source = (
        "1st to 99th percentile of the labels" if LABELS.is_dir() else "run the pipeline to see it measured"
    )
    console.result(f"0 leaves the face as it is; one unit is one standard deviation. Range: {source}.")


def _ranges(columns: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The central 98 % of each column's labels on the training split, in σ from the mean."""
    if not LABELS.is_dir():
        return dict.fromkeys(columns, USUAL)
    table = read_table(LABELS, columns, "train")
    attrs = {name: table[name].to_numpy() for name in columns}
    return {name: tuple(np.percentile((x - x.mean()) / x.std(), [1, 99])) for name, x in attrs.items()}
