"""Editing: what moving one attribute costs, alone and with the picture that people wait for.

The floor of an edit is the arithmetic of its products or the time to read its weights, whichever is longer.
Editors are untrained and styles random: they cost what trained ones do. Run it as ``python -m
benchmarks.editing``.
"""

from __future__ import annotations

__all__ = ["main"]

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from benchmarks.harness import Asked, Case, Report, Row, arguments, flops_of, measure
from benchmarks.training import DEFAULT, GENERATOR, PAPER, W_DIM, data_of
from pipeline.editors import Editor, FitContext, InterFaceGAN, StyleAE
from pipeline.editors.settings import InterfaceGANParams, StyleAEParams
from pipeline.generators import load_generator

BATCHES = (1, 16, 128)
FAR = 2.5  # a move beyond StyleAE's reach, in standard deviations
ROWS = 1024  # that an editor is built from


def main() -> None:
    """Measure, print tables, write JSON."""
    asked = arguments("editing", __doc__)
    report = Report(asked)
    report.add("edits", "Edits, style to style", "edits", edits(asked))
    report.add("pictures", "Edits with their pictures, 64×64", "pictures", pictures(asked))
    report.add("width", "Edits against w_dim, 16 at once", "edits", widths(asked))
    report.add("attributes", "Edits against the number of attributes, 16 at once", "edits", attributes(asked))
    report.write()


def editors_of(asked: Asked, attributes: int = 8, w_dim: int = W_DIM) -> dict[str, Editor]:
    """An editor of each kind."""
    data = data_of(ROWS, attributes, w_dim)
    metric = torch.diag(torch.logspace(0, -4, w_dim, dtype=torch.float64))
    context = FitContext(load_generator=partial(load_generator, GENERATOR), load_metric=lambda: metric)

    def style_ae(settings: StyleAEParams) -> Editor:
        return StyleAE.build(replace(settings, probe_epochs=1), data, context, seed=0)

    found = {
        "styleae": style_ae(DEFAULT),
        "styleae_paper": style_ae(PAPER),
        "interfacegan": InterFaceGAN.build(InterfaceGANParams(), data, context, seed=0),
    }
    return {name: editor.to(asked.device).eval().requires_grad_(False) for name, editor in found.items()}


def edits(asked: Asked) -> list[Row]:
    """Every kind of editor at several batch sizes, and StyleAE beyond its reach."""
    editors = editors_of(asked)
    cases = [_case(name, e, asked, n, {"batch": n}) for name, e in editors.items() for n in BATCHES]
    ours = editors["styleae"]
    far = [_case("styleae, far", ours, asked, n, {"batch": n}, strength=FAR) for n in BATCHES]
    return measure([*cases[: len(BATCHES)], *far, *cases[len(BATCHES) :]], asked)


def pictures(asked: Asked) -> list[Row]:
    """The same with synthesis behind it; the first case is synthesis alone."""
    synthesize = load_generator(GENERATOR, asked.device).prepare()
    cases = []
    for count in BATCHES:
        w = torch.randn(count, W_DIM, device=asked.device)
        for name, edit in {"no edit": lambda w: w, **_moves(asked)}.items():
            run = partial(_picture, edit, synthesize, w)
            cases.append(Case(name=name, labels={"batch": count}, run=run, work=count, flops=flops_of(run)))
    return measure(cases, asked)


def widths(asked: Asked) -> list[Row]:
    """Styles of several widths."""
    counts = (128, 512) if asked.short else (128, 256, 512, 1024)
    cases = [
        _case(name, editor, asked, 16, {"w_dim": width}, width)
        for width in counts
        for name, editor in editors_of(asked, w_dim=width).items()
    ]
    return measure(sorted(cases, key=lambda case: case.name != "styleae"), asked)


def attributes(asked: Asked) -> list[Row]:
    """Editors of 1 to 40 attributes."""
    counts = (1, 8) if asked.short else (1, 8, 20, 40)
    cases = [
        _case(name, editor, asked, 16, {"attributes": count})
        for count in counts
        for name, editor in editors_of(asked, count).items()
    ]
    return measure(sorted(cases, key=lambda case: case.name != "styleae"), asked)


def _moves(asked: Asked) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    return {
        name: partial(editor.edit, attribute="a0", strength=1.0) for name, editor in editors_of(asked).items()
    }


@torch.inference_mode()
def _picture(edit: Callable, synthesize: Callable, w: torch.Tensor) -> torch.Tensor:
    return synthesize(edit(w))


def _case(
    name: str,
    editor: Editor,
    asked: Asked,
    count: int,
    labels: dict[str, int],
    w_dim: int = W_DIM,
    strength: float = 1.0,
) -> Case:
    w = torch.randn(count, w_dim, device=asked.device)

    @torch.inference_mode()
    def run() -> None:
        editor.edit(w, "a0", strength)

    read = sum(tensor.numel() * tensor.element_size() for tensor in editor.state_dict().values())
    return Case(name=name, labels=labels, run=run, work=count, flops=flops_of(run), moved=read)


if __name__ == "__main__":
    main()
