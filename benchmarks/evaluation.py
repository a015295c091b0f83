"""Evaluation: edits a second at matched strength, where their time goes, and what more attributes cost.

The editor is an InterFaceGAN that is fitted on the spot, so that the shipped networks suffice. An edit costs
as many images as its search tries; each is synthesized once and looked at by the labeler, and the one that
the search ends at by judge, identity and the pixel metrics, too. The first case of the table ``rate`` takes
one image at a time. Run it as ``python -m benchmarks.evaluation``.
"""

from __future__ import annotations

__all__ = ["main"]

import tempfile
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import Asked, Case, Report, Row, arguments, flops_of, measure
from pipeline.bench import Bench, Folders
from pipeline.editors import EditingData, FitContext, InterFaceGAN, save_editor
from pipeline.editors.settings import InterfaceGANParams
from pipeline.generators import load_generator
from pipeline.labelers import load_labeler
from pipeline.metrics.image import distances
from pipeline.protocol import Protocol, scales_of
from pipeline.sampling import draw_styles
from pipeline.scoring import scores_of

NETWORKS = "models/portraits64"
LABELLED = 600  # styles that the editor is fitted to: a few more than w has coordinates
FIRST = 1 << 20  # id of the first evaluated face


def main() -> None:
    """Measure, print tables, write JSON."""
    asked = arguments("evaluation", __doc__)
    faces = 4 if asked.short else 16
    report = Report(asked)
    with tempfile.TemporaryDirectory() as folder:
        names = load_labeler(f"{NETWORKS}/labeler").columns
        bench, protocol = _bench(folder, names[:8], asked)
        w = draw_styles(load_generator(f"{NETWORKS}/generator"), 0, range(FIRST, FIRST + faces), 1.0)
        report.add(
            "rate", f"{faces} faces, 8 attributes, images at once", "edits", _rates(bench, protocol, w, asked)
        )
        report.add("parts", "Where the time of an edit goes", "", _parts(bench, protocol, w, asked))
        report.add("attributes", "More attributes", "edits", _attributes(folder, names, w, asked))
    report.write()


def _bench(folder: str, names: tuple[str, ...], asked: Asked) -> tuple[Bench, Protocol]:
    """A bench with an editor of some attributes, and the protocol of the labels that it was fitted to."""
    generator = load_generator(f"{NETWORKS}/generator", asked.device)
    labeler = load_labeler(f"{NETWORKS}/labeler", names, asked.device)
    w, synthesize = draw_styles(generator, 0, range(LABELLED), 1.0, device=asked.device), generator.prepare()
    attrs = torch.cat([scores_of(synthesize, labeler, part) for part in w.split(50)])
    data = EditingData(w.cpu(), attrs, labeler.columns)
    context = FitContext(load_generator=lambda: generator, load_metric=lambda: torch.eye(w.shape[1]))
    save_editor(InterFaceGAN.build(InterfaceGANParams(), data, context, seed=0), folder)
    networks = {role: f"{NETWORKS}/{role}" for role in ("generator", "labeler", "judge", "identity")}
    scales = scales_of(data.w.numpy(), attrs.double().cpu().numpy(), names)
    protocol = Protocol.of(scales, deltas=(1.0,), sides="other", tolerance=0.05, batch=50)
    return Bench(Folders(**networks, editor=folder, attributes=names), asked.device), protocol


def _rates(bench: Bench, protocol: Protocol, w: Tensor, asked: Asked) -> list[Row]:
    """The same edits with one image at a time and more."""
    cases = [
        _case(bench, replace(protocol, batch=batch), w, {"images at once": batch})
        for batch in (1, 8, 50, 200)
    ]
    return measure(cases, asked)


def _case(bench: Bench, protocol: Protocol, w: Tensor, labels: dict[str, int]) -> Case:
    run = partial(bench.measure, w, protocol)
    edits = len(w) * len(bench.columns)
    return Case(name="edits", labels=labels, run=run, work=edits, flops=flops_of(run))


def _parts(bench: Bench, protocol: Protocol, w: Tensor, asked: Asked) -> list[Row]:
    """Images of each part for an edit, what one takes in a full batch, and the share of the time."""
    searched = float(bench.measure(w, protocol)["evaluations"].mean())
    with torch.inference_mode():
        many = w.to(asked.device).repeat(1 + protocol.batch // len(w), 1)[: protocol.batch]
        img = bench.synthesize(many)
        parts = {
            "synthesis": (searched, partial(bench.synthesize, many)),
            "labeler": (searched, partial(bench.labeler, img)),
            "judge": (1.0, partial(bench.judge, img)),
            "identity": (1.0, partial(bench.identity, img)),
            "distances": (1.0, partial(distances, img, img.flip(0))),
        }
        rows = measure([Case(name=n, run=run, work=len(many)) for n, (_, run) in parts.items()], asked)
    cost = {row["name"]: parts[row["name"]][0] / row["rate"] for row in rows}
    return [
        {
            "name": row["name"],
            "images an edit": parts[row["name"]][0],
            "ms an image": 1000 / row["rate"],
            "share of time": f"{cost[row['name']] / sum(cost.values()):.0%}",
        }
        for row in rows
    ]


def _attributes(folder: str, names: tuple[str, ...], w: Tensor, asked: Asked) -> list[Row]:
    counts = (1, 8) if asked.short else (1, 4, 8, 16, len(names))
    return measure([_case(*_bench(folder, names[:k], asked), w, {"attributes": k}) for k in counts], asked)


if __name__ == "__main__":
    main()
