"""The splits of the labels as training takes them."""

from __future__ import annotations

__all__ = ["read_split"]

from pathlib import Path

import torch

from pipeline.data import read_manifest, read_parts, to_tensors
from pipeline.editors import EditingData
from pipeline.errors import PipelineError
from pipeline.rows import Split


def read_split(
    labels: str | Path, split: Split, device: str | torch.device = "cpu", rows: int | None = None
) -> EditingData:
    """One split on a device.

    Arguments:
        labels: the data folder.
        split: which rows.
        device: where the tensors go.
        rows: most rows of it, the first ones; ``None`` for all.

    Raises:
        PipelineError: when the split has no rows, or the folder is no whole one.
    """
    provenance = read_manifest(labels).provenance
    columns, decided = (tuple(provenance[name]) for name in ("columns", "decided"))
    parts = [to_tensors(table, columns) for table in read_parts(labels, ["w", *columns], split, rows)]
    w, attrs = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    if not len(w):
        raise PipelineError(
            f"expected rows of the split {split!r}, got none, in {labels}: raise sample.count"
        )
    return EditingData(w.to(device), attrs.to(device), columns, decided)
