"""What some commands take: each function adds the arguments of one command."""

from __future__ import annotations

__all__ = ["ablate", "clean", "search", "seeds", "study", "study_report"]

from argparse import ArgumentParser
from pathlib import Path


def clean(command: ArgumentParser) -> None:
    """``clean``."""
    command.add_argument(
        "--yes", action="store_true", help="remove it, and stop the jobs that this folder has submitted"
    )
    command.add_argument(
        "--hours",
        type=float,
        default=24,
        metavar="N",
        help="leave alone what was written into the storage since then: others may share it (default: 24)",
    )


def seeds(command: ArgumentParser) -> None:
    """``seeds``."""
    command.add_argument("editor", metavar="EDITOR", help="an editor of params.yaml: styleae")
    command.add_argument("--count", type=int, default=3, metavar="N", help="how many seeds (default: 3)")
    command.add_argument(
        "--out",
        type=Path,
        default=Path(".work/seeds"),
        metavar="FOLDER",
        help="gets a folder for each seed (default: .work/seeds)",
    )


def search(command: ArgumentParser) -> None:
    """``search``."""
    command.add_argument("editor", metavar="EDITOR", help="an editor of params.yaml: styleae")
    command.add_argument(
        "--trials", type=int, default=20, metavar="N", help="how many trainings, at most (default: 20)"
    )
    command.add_argument(
        "--rows", type=int, metavar="N", help="training latents of each, the first of them (default: all)"
    )
    command.add_argument(
        "--faces",
        type=int,
        default=100,
        metavar="N",
        help="validation latents to edit in each (default: 100)",
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which combinations are drawn (default: 0)"
    )
    command.add_argument(
        "--out", type=Path, metavar="FILE", help="gets the best (default: conf/editor/EDITOR_tuned.yaml)"
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="whose params.yaml and labels to use, such as comparisons/peers (default: this one)",
    )


def ablate(command: ArgumentParser) -> None:
    """``ablate``."""
    command.add_argument(
        "--only", default="", metavar="A,B", help="which variants, beside the default (default: all)"
    )
    command.add_argument(
        "--faces", type=int, metavar="N", help="validation latents to edit (default: evaluate.count)"
    )


def study(command: ArgumentParser) -> None:
    """``study``."""
    command.add_argument(
        "--editors",
        default="",
        metavar="A,B",
        help="which editors (default: all that have pictures in reports/)",
    )
    command.add_argument(
        "--folder",
        type=Path,
        default=Path(),
        metavar="FOLDER",
        help="whose reports/, such as comparisons/peers (default: the project's own)",
    )
    command.add_argument("--faces", type=int, metavar="N", help="how many of the first faces (default: all)")
    command.add_argument(
        "--pairs", type=int, default=24, metavar="N", help="comparisons on the page, at most (default: 24)"
    )
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which comparisons, in which order (default: 0)"
    )
    command.add_argument(
        "--out", type=Path, default=Path("study"), metavar="FOLDER", help="gets page and key (default: study)"
    )


def study_report(command: ArgumentParser) -> None:
    """``study-report``."""
    command.add_argument("folder", type=Path, metavar="FOLDER", help="the study's folder, with its key")
    command.add_argument(
        "answers", type=Path, nargs="+", metavar="FILE", help="exported answers, a file of each participant"
    )
