"""Labelling: every latent is synthesized and classified, shard by shard, by actors of Ray Data.

A shard is one part of the latents. Its labels are a pure function of the part, the networks and the
parameters: batches never cross a shard, so the bytes do not depend on how many actors there are or on who was
killed. Finished parts wait in ``.work/label``, or in ``cluster.storage``, until all are there.
"""

from __future__ import annotations

__all__ = ["LabelActor", "doubts_about_labels", "label_latents", "provenance_of"]

import math
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline.attributes import columns_of
from pipeline.cluster import connect, map_shards
from pipeline.config import Params
from pipeline.data import (
    FileEntry,
    Manifest,
    attach_labels,
    check_provenance,
    labels_schema,
    part_bytes,
    read_manifest,
    read_part,
    to_tensors,
)
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_labeler
from pipeline.labelers.checking import suspicious_outputs
from pipeline.labelers.imported import check_imported
from pipeline.paths import LABELS, LATENTS
from pipeline.scoring import DTYPES, Precision, check_precision, scores_of
from pipeline.scratch import code_digest, work_folder, work_storage
from pipeline.sealed import SealedParts
from pipeline.storage import Storage
from pipeline.weights import weights_digest

LOOKED_AT = 20_000  # rows that say enough about a labeler: each is a draw of its own
CODE = ("generators", "labelers", "labelling", "scoring", "data", "manifest", "rows")


class LabelActor:
    """Generator and labeler in one process.

    Of two shards that it has at once, one is read or written while the networks look at the other.

    Arguments:
        generator: folder of the generator.
        labeler: folder of the classifier.
        attributes: which attributes to label, in the order of the columns.
        latents: the data folder to read.
        schema: of its parts, as its manifest has it.
        work: where the labelled parts go, a folder or the URI of a storage: see :mod:`pipeline.sealed`.
        batch_size: images at once.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        device: where torch computes.
    """

    at_once = 2

    def __init__(
        self,
        generator: str,
        labeler: str,
        attributes: tuple[str, ...],
        latents: str,
        schema: Mapping[str, str],
        work: str,
        batch_size: int,
        precision: Precision,
        device: str,
    ) -> None:
        self.synthesize = load_generator(generator, device).prepare(DTYPES[precision])
        self.labeler = load_labeler(labeler, attributes, device)
        self.latents, self.schema, self.parts = Path(latents), schema, SealedParts(Storage(work))
        self.batch_size, self.precision, self.device = batch_size, precision, device
        self.networks_in_use: AbstractContextManager[object] = threading.Lock()

    def __call__(self, shard: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a part of the latents to those of the labelled part."""
        return asdict(self.label_part(FileEntry(**shard)))

    def label_part(self, part: FileEntry) -> FileEntry:
        """Label one part of the latents, write it, and give its manifest entry."""
        table = read_part(self.latents, part, self.schema)
        w, _ = to_tensors(table)
        with self.networks_in_use:
            attrs = torch.cat(
                [
                    scores_of(self.synthesize, self.labeler, batch.to(self.device), self.precision)
                    for batch in w.split(self.batch_size)
                ]
            )
        labels = attach_labels(table, attrs.numpy(), self.labeler.columns)
        return self.parts.write(part.name, labels)


def label_latents(
    params: Params, on_rows: Callable[[int, bool], None] = lambda rows, earlier: None
) -> Manifest:
    """Label ``data/latents`` into ``data/labels``; parts that an earlier, killed run has finished are kept.

    Arguments:
        params: all parameters.
        on_rows: called with a number of rows that are done, and whether an earlier run did them.

    Raises:
        PipelineError: when latents, generator and classifier do not belong together, or a score is not
            finite.
    """
    latents = read_manifest(LATENTS)
    provenance = provenance_of(params, latents)
    schema = labels_schema(_w_dim(latents), provenance["columns"])
    folder = work_folder("label", provenance | {"code": code_digest(*CODE)})
    work = work_storage(params.cluster.storage, folder)
    parts = SealedParts(work)
    done = parts.finished([file.name for file in latents.files])
    for entry in done.values():
        on_rows(entry.rows, True)
    missing = [file for file in latents.files if file.name not in done]
    for file in missing:
        if not file.uri:
            part_bytes(LATENTS, file)  # a damaged part is refused before any long work
    if missing:
        done |= {entry.name: entry for entry in _label_parts(params, latents.schema, work, missing, on_rows)}
    manifest = Manifest.of(schema, [done[file.name] for file in latents.files], provenance)
    parts.publish(manifest, LABELS)
    return manifest


def doubts_about_labels(params: Params) -> list[str]:
    """What looks wrong in ``data/labels``, a sentence for each column.

    The likely reason is that the labeler sees other images than it was trained on.
    """
    attributes = load_labeler(params.labeler.weights, params.labeler.attributes).attributes
    labels = read_manifest(LABELS)
    first = labels.files[: math.ceil(LOOKED_AT / labels.files[0].rows)]
    columns = columns_of(attributes)
    table = pa.concat_tables(read_part(LABELS, part, labels.schema, columns) for part in first)
    scores = np.stack([table[name].to_numpy() for name in table.column_names], axis=1)
    return suspicious_outputs(torch.from_numpy(scores), attributes)


def _label_parts(
    params: Params,
    schema: Mapping[str, str],
    work: Storage,
    missing: list[FileEntry],
    on_rows: Callable[[int, bool], None],
) -> list[FileEntry]:
    """Let actors label the parts of the latents that are missing in ``work``."""
    kwargs = {
        "generator": params.generator.weights,
        "labeler": params.labeler.weights,
        "attributes": params.labeler.attributes,
        "latents": str(LATENTS),
        "schema": dict(schema),
        "work": work.place,
        **asdict(params.label),
    }
    with connect(params.cluster):
        entries = map_shards(
            [asdict(file) for file in missing],
            LabelActor,
            kwargs,
            params.cluster.label,
            lambda entry: on_rows(entry["rows"], False),
        )
    return [FileEntry(**entry) for entry in entries]


def provenance_of(params: Params, latents: Manifest) -> dict[str, Any]:
    """Everything that the bytes of the labels depend on, and the checks that it belongs together."""
    generator, labeler = params.generator.weights, params.labeler.weights
    check_imported(labeler, params.labeler.sources, "weights")
    check_provenance(latents, {"generator": weights_digest(generator)}, LATENTS)
    network = load_generator(generator)
    check_precision(network, params.label.precision)
    if (width := network.w_dim) != _w_dim(latents):
        raise PipelineError(
            f"expected latents of width {width}, got {_w_dim(latents)}, in {LATENTS}: "
            "run the stage 'sample' again"
        )
    attributes = load_labeler(labeler, params.labeler.attributes).attributes
    return {
        **latents.provenance,
        "latents": latents.digest,
        "labeler": weights_digest(labeler),
        "attributes": list(params.labeler.attributes),
        "columns": list(columns_of(attributes)),
        "decided": list(columns_of(a for a in attributes if a.kind != "continuous")),
        **asdict(params.label),
    }


def _w_dim(manifest: Manifest) -> int:
    """The width of the style vectors, from the Arrow type ``fixed_size_list<…>[width]``."""
    return int(manifest.schema["w"].rpartition("[")[2].rstrip("]"))
