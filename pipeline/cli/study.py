"""``python -m pipeline study`` and ``study-report``: a blind comparison of editors by people."""

from __future__ import annotations

__all__ = ["make_study", "report_study"]

from collections.abc import Sequence
from pathlib import Path

from pipeline import console
from pipeline.paths import report_folder
from pipeline.study import KEY, PAGE, QUESTIONS, draw_comparisons, read_edits, write_study
from pipeline.study_report import (
    REPORT,
    percent,
    read_answers,
    read_key,
    report_data,
    write_study_report,
)


def make_study(
    folder: Path, editors: Sequence[str], faces: int | None, pairs: int, seed: int, out: Path
) -> None:
    """Write the page of a study and its key.

    Arguments:
        folder: the folder whose ``reports/`` are compared, such as ``comparisons/peers``.
        editors: names of the editors to compare; empty takes all that were evaluated.
        faces: how many of the first faces; ``None`` takes all.
        pairs: comparisons on the page, at most.
        seed: which comparisons, in which order, on which side.
        out: the study's folder.

    Raises:
        PipelineError: when there are no two editors, their pictures are not of the same faces, or the folder
            holds another study.
    """
    edits = read_edits(folder / report_folder("*").parent, editors, faces)
    comparisons = draw_comparisons(edits, pairs, seed)
    study = write_study(out, comparisons, seed)
    size = (out / PAGE).stat().st_size / 2**20
    console.result(f"study {study}: {len(comparisons)} comparisons of {', '.join(e.editor for e in edits)}")
    if len(comparisons) < pairs:
        console.warning(f"{pairs} comparisons were asked for, and that is all there are")
    console.result(f"{out / PAGE}  (for participants, {size:.1f} MiB)")
    console.result(f"{out / KEY}  (whose edits they are: keep it to yourself)")
    console.result(f"then: python -m pipeline study-report {out} answers*.json")


def report_study(folder: Path, files: Sequence[Path]) -> None:
    """Write and print what the participants preferred.

    Arguments:
        folder: the study's folder.
        files: exported answers, one file of each participant.

    Raises:
        PipelineError: when the key or a file is missing or damaged, or belongs to another study, or when a
            participant is there twice.
    """
    key = read_key(folder)
    data = report_data(read_answers(files, key), key)
    write_study_report(folder, data)
    questions = data["questions"].values()
    rows = [[e, *(percent(q["editors"][e]) for q in questions)] for e in next(iter(questions))["editors"]]
    console.table(["won", *QUESTIONS], rows)
    console.result(f"answers: {data['answers']} of {data['asked']}, participants: {data['participants']}")
    console.result(f"{folder / REPORT}.md  (pairs of editors, too)")
