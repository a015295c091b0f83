"""``python -m pipeline summary``: what the last run has made, and the commands to go on."""

from __future__ import annotations

__all__ = ["show_table", "summarise"]

import csv
from collections.abc import Sequence

from pipeline import console
from pipeline.comparing.columns import COLUMNS
from pipeline.config import load_params
from pipeline.errors import PipelineError
from pipeline.paths import COMPARE, report_folder

NEXT = (
    ("make ui", "faces, models and metrics in MLflow"),
    ("python -m pipeline edit --model models/{editor} --seed 7 --set smile=1.5", "edit a face"),
    ("python -m pipeline attributes", "what can be edited"),
    ("dvc exp run -S editor.{editor}.epochs=60", "try other parameters"),
    ("dvc plots show", "curves and tables as a page"),
)


def summarise() -> None:
    """Print the table of metrics, where the pictures are, and what to do next.

    Raises:
        PipelineError: when the pipeline has not run to its end.
    """
    show_table()
    editors = list(load_params().editor)
    console.console.print("\n[bold]Pictures[/]")
    for place in _pictures(editors):
        console.result(place)
    console.console.print("\n[bold]Next[/]")
    for command, purpose in NEXT:
        console.console.print(f"  [cyan]{command.format(editor=editors[0])}[/]  [dim]{purpose}[/]")


def show_table() -> None:
    """Print the short table of the comparison: ``compare.columns``, or the usual ones.

    Raises:
        PipelineError: when there is no comparison.
    """
    path = COMPARE / "table.csv"
    if not path.is_file():
        raise PipelineError(f"expected the table of a finished run, got none, in {path}: run `make repro`")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in load_params().compare.columns or COLUMNS if name in rows[0]]
    console.console.print()
    # A row for each metric: names never have to be cut. The intervals stand in table.md.
    cells = [[name, *(_shorten(row[name]) for row in rows)] for name in columns]
    console.table(["", *(row["editor"] for row in rows)], cells)


def _pictures(editors: Sequence[str]) -> list[str]:
    """The pages and pictures that are there, each with what it shows."""
    places = [
        (COMPARE / "report.md", "every number, with pictures and what went wrong"),
        (COMPARE / "explorer.html", "two editors side by side, in any browser"),
        (COMPARE / "figures", "all editors under the same edits"),
    ]
    for editor in editors:
        places.append((report_folder(editor) / "explorer.html", "sliders, in any browser"))
        places.append((report_folder(editor) / "figures", "grids, strips, heat map"))
    return [f"{place}  ({text})" for place, text in places if place.exists()]


def _shorten(cell: str) -> str:
    """Three significant digits of a number; other text as it is."""
    try:
        return f"{float(cell):.3g}"
    except ValueError:
        return cell
