"""StyleFlow's solvers: how far edits by fixed steps are from those of dopri5, and what each costs.

A StyleFlow of the default settings is trained on the spot, on the shipped networks' styles and labels; then
the same flow edits styles that it has not seen, by each solver. The error is the distance of edited styles
from those of ``dopri5`` at a tolerance of 1e-5, over their distance from the mean style. Run it as ``python
-m benchmarks.solvers``.
"""

from __future__ import annotations

__all__ = ["main"]

import copy
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.harness import Asked, Case, Report, Row, arguments, measure
from pipeline import console
from pipeline.editors import EditingData, FitContext
from pipeline.editors.flow_settings import StyleFlowParams
from pipeline.editors.style_flow import StyleFlow, solver_error
from pipeline.generators import load_generator
from pipeline.labelers import load_labeler
from pipeline.loop import Loop
from pipeline.sampling import draw_styles
from pipeline.scoring import scores_of

NETWORKS = "models/portraits64"
LABELLED, VALIDATION, EDITED = 9_000, 500, 64  # styles
ATTRIBUTES = 8
SOLVERS = (("dopri5", 0), ("rk4", 1), ("rk4", 2), ("rk4", 3), ("rk4", 6), ("midpoint", 3), ("midpoint", 6))


def main() -> None:
    """Measure, print tables, write JSON."""
    asked = arguments("solvers", __doc__)
    report = Report(asked)
    data = _labelled(2_000 if asked.short else LABELLED + VALIDATION, asked)
    split = len(data.w) - VALIDATION
    train, held = (
        replace(data, w=data.w[part], attrs=data.attrs[part]) for part in (slice(split), slice(split, None))
    )
    with console.stage("train a flow"):
        flow = _trained(train, held)
    title = f"{EDITED} edits by one σ, {StyleFlowParams().epochs} epochs of {split:,} latents"
    report.add("edits", title, "edits", _edits(flow, held.w[:EDITED], asked))
    report.write()


def _labelled(count: int, asked: Asked) -> EditingData:
    """Styles of the embedded generator with their labels."""
    generator = load_generator(f"{NETWORKS}/generator", asked.device)
    labeler = load_labeler(f"{NETWORKS}/labeler", device=asked.device)
    names = labeler.columns[:ATTRIBUTES]
    w, synthesize = draw_styles(generator, 0, range(count), 1.0, device=asked.device), generator.prepare()
    attrs = torch.cat([scores_of(synthesize, labeler, part) for part in w.split(50)])
    return EditingData(w, attrs[:, :ATTRIBUTES].to(w), names)


def _trained(train: EditingData, held: EditingData) -> StyleFlow:
    """The default StyleFlow, start to end."""
    settings = StyleFlowParams()
    width = train.w.shape[1]
    context = FitContext(partial(load_generator, f"{NETWORKS}/generator"), partial(torch.eye, width))
    flow = StyleFlow.build(settings, train, context, seed=0)
    objective = flow.objective(settings, context).to(train.w.device)
    loop = Loop(objective, objective, settings, train, held, seed=0)
    while not loop.finished:
        loop.run_epoch()
    return flow.eval().requires_grad_(False)


def _edits(flow: StyleFlow, w: Tensor, asked: Asked) -> list[Row]:
    """Every solver: its error, the mean over the attributes, and its edits a second."""
    cases = []
    for solver, steps in SOLVERS:
        one = copy.copy(flow)  # with the same weights
        one.solver, one.steps = solver, steps
        with torch.inference_mode():
            error = sum(solver_error(one, w, name, 1.0) for name in one.columns) / len(one.columns)
        labels = {"steps": steps or "adaptive", "error": error}
        cases.append(Case(name=solver, labels=labels, run=partial(_edit, one, w), work=len(w)))
    return measure(cases, asked)


@torch.inference_mode()
def _edit(flow: StyleFlow, w: Tensor) -> None:
    flow.edit(w, flow.columns[0], 1.0)


if __name__ == "__main__":
    main()
