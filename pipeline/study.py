"""The user study: one page on which people compare two edits of a face without knowing whose they are.

Two-alternative forced choice: a face in the middle, to its left and right the edits of two editors, which
moved the same attribute by the same matched strength, and two questions about them. The page holds codes in
place of editors; what they stand for is in a key beside the page, which participants do not get. Everything
is fixed by the pictures and a seed: all participants see the same comparisons in the same order.
:mod:`pipeline.study_report` reads what they answered.
"""

from __future__ import annotations

__all__ = [
    "KEY",
    "PAGE",
    "QUESTIONS",
    "SIDES",
    "Comparison",
    "Edits",
    "draw_comparisons",
    "read_edits",
    "write_study",
]

import base64
import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.attributes import nearest_name
from pipeline.errors import PipelineError
from pipeline.report import FACES
from pipeline.scratch import fingerprint

SIDES = ("left", "right")

PAGE, KEY = "index.html", "key.json"

QUESTIONS = {
    "edit": "Which edit of what was asked looks better?",
    "person": "Which edit keeps the person?",
}
"""What is asked about each comparison, in this order."""

TEMPLATE = Path(__file__).with_name("study.html")
PLACE = "/*DATA*/null"

DAMAGED = (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """The pictures in the report of one editor.

    Attributes:
        editor: its name.
        original: the faces, ``[F, h, w, 3]``, uint8.
        edited: each attribute of each face moved toward the other side by the same matched strength,
            ``[F, K, h, w, 3]``, uint8; black, or the original, where the editor did not get that far.
        direction: the side that is, +1 or -1, ``[F, K]``.
        attributes: names of the K columns.
    """

    editor: str
    original: NDArray[np.uint8]
    edited: NDArray[np.uint8]
    direction: NDArray[np.float64]
    attributes: tuple[str, ...]

    def differs(self, face: int, column: int, other: NDArray[np.uint8]) -> bool:
        """Whether there is an edit, neither black nor the original, and it is not ``other``."""
        picture = self.edited[face, column]
        return bool(picture.any()) and not any(
            np.array_equal(picture, p) for p in (self.original[face], other)
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two edits of one attribute of one face: where they are in the arrays, and whose they are."""

    face: int
    column: int
    left: Edits
    right: Edits


def read_edits(reports: Path, editors: Sequence[str] = (), faces: int | None = None) -> list[Edits]:
    """The pictures of every editor, checked to be of the same faces.

    Arguments:
        reports: the folder that holds one report for each editor.
        editors: which ones; empty takes all that have pictures, by name.
        faces: how many of the first faces; ``None`` takes all.

    Raises:
        PipelineError: for an unknown editor, fewer than two, damaged pictures, or ones of different faces.
    """
    known = sorted(path.parent.name for path in reports.glob(f"*/{FACES}"))
    for editor in editors:
        if editor not in known:
            raise PipelineError(
                f"no pictures of the editor {editor!r}, in {reports}: {nearest_name(editor, known)}"
            )
    names = tuple(dict.fromkeys(editors or known))
    if len(names) < 2:
        raise PipelineError(
            f"expected two or more editors to compare, got {list(names)}, in {reports}: evaluate another one"
        )
    if faces is not None and faces < 1:
        raise PipelineError(f"expected at least one face, got {faces}, in --faces: raise it")
    found = [_read(reports / name / FACES, name, faces) for name in names]
    for each in found[1:]:
        _check_same(found[0], each, reports)
    return found


def _read(path: Path, editor: str, faces: int | None) -> Edits:
    try:
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            original, edited, direction = (file[n][:faces] for n in ("original", "edited", "direction"))
            attributes = tuple(str(name) for name in file["attributes"])
    except DAMAGED as error:
        raise PipelineError(
            f"expected the pictures of {editor}, got {type(error).__name__}: {error}, in {path}: "
            "run `dvc repro`"
        ) from error
    shape = (len(original), len(attributes), *original.shape[1:])
    if edited.shape != shape or direction.shape != shape[:2]:
        raise PipelineError(
            f"expected edits of shape {list(shape)} and their directions, got {list(edited.shape)} and "
            f"{list(direction.shape)}, in {path}: run `dvc repro`"
        )
    return Edits(editor=editor, original=original, edited=edited, direction=direction, attributes=attributes)


def _check_same(first: Edits, other: Edits, reports: Path) -> None:
    """Two editors are compared on the same faces, asked the same."""
    for what in ("attributes", "original", "direction"):
        if not np.array_equal(getattr(first, what), getattr(other, what)):
            raise PipelineError(
                f"expected the same faces from every editor, got another {what!r} of {other.editor} than of "
                f"{first.editor}, in {reports}: evaluate both with the same parameters"
            )


def draw_comparisons(edits: Sequence[Edits], count: int, seed: int) -> list[Comparison]:
    """At most ``count`` comparisons, spread evenly over the pairs of editors and over who stands left.

    A comparison needs two edits that can be told from the original and from each other: where an editor did
    not reach what was asked, there is nothing to look at.

    Raises:
        PipelineError: for a count or a seed that is none, or when there is nothing to compare.
    """
    if count < 1:
        raise PipelineError(f"expected at least one comparison, got {count}, in --pairs: raise it")
    if seed < 0:
        raise PipelineError(f"expected a seed of 0 or more, got {seed}, in --seed: raise it")
    rng = np.random.default_rng(seed)
    queues = [_queue(first, second, rng) for first, second in combinations(edits, 2)]
    turns = [c for turn in zip_longest(*queues) for c in turn if c is not None][:count]
    if not turns:
        names = [each.editor for each in edits]
        raise PipelineError(
            f"expected edits to compare, got none that {names} both reached: evaluate more faces"
        )
    return [turns[i] for i in rng.permutation(len(turns))]


def _queue(first: Edits, second: Edits, rng: np.random.Generator) -> list[Comparison]:
    """Every face and attribute that both editors have an edit of, shuffled; they take turns on the left."""
    possible = [
        (face, column)
        for face, column in np.ndindex(first.direction.shape)
        if first.differs(face, column, second.edited[face, column])
        and second.differs(face, column, first.edited[face, column])
    ]
    sides = [(first, second), (second, first)]
    start = int(rng.integers(2))
    queue = []
    for turn, i in enumerate(rng.permutation(len(possible)), start):
        (face, column), (left, right) = possible[i], sides[turn % 2]
        queue.append(Comparison(face, column, left, right))
    return queue


def write_study(folder: Path, comparisons: Sequence[Comparison], seed: int) -> str:
    """Write the page and its key.

    Arguments:
        folder: where to; made when it is not there.
        comparisons: what the page shows, in this order.
        seed: what they were drawn with, for the record.

    Returns:
        The study's id, which answers carry: it differs when anything on the page or in the key does.

    Raises:
        PipelineError: when the folder holds the key of another study: its answers would be lost without it.
    """
    codes = {f"c{i:03d}": comparison for i, comparison in enumerate(comparisons, 1)}
    page = _page_data(codes)
    key: dict[str, Any] = {"seed": seed, "comparisons": {code: _answer(c) for code, c in codes.items()}}
    study = fingerprint({"page": page, "key": key})
    _check_free(folder / KEY, study)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).write_text(json.dumps({"study": study, **key}, indent=2) + "\n", encoding="utf-8")
    data = json.dumps({"study": study, **page}, separators=(",", ":")).replace("<", "\\u003c")
    text = TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data)
    (folder / PAGE).write_text(text, encoding="utf-8")
    return study


def _page_data(codes: dict[str, Comparison]) -> dict[str, Any]:
    """What the page's script reads: no names of editors."""
    faces = {c.face: c.left.original[c.face] for c in codes.values()}
    return {
        "questions": [{"code": code, "text": text} for code, text in QUESTIONS.items()],
        "originals": {face: _data_uri(picture) for face, picture in faces.items()},
        "comparisons": [
            {
                "code": code,
                "face": c.face,
                "attribute": c.left.attributes[c.column],
                "up": bool(c.left.direction[c.face, c.column] > 0),
                **{side: _data_uri(getattr(c, side).edited[c.face, c.column]) for side in SIDES},
            }
            for code, c in codes.items()
        ],
    }


def _answer(comparison: Comparison) -> dict[str, Any]:
    """What a code stands for."""
    c = comparison
    return {
        "face": c.face,
        "attribute": c.left.attributes[c.column],
        "direction": int(c.left.direction[c.face, c.column]),
        "left": c.left.editor,
        "right": c.right.editor,
    }


def _check_free(path: Path, study: str) -> None:
    """The same study may be written again, with the same bytes."""
    if not path.exists():
        return
    try:
        same = json.loads(path.read_text(encoding="utf-8"))["study"] == study
    except (ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise PipelineError(
            f"expected a folder for the study {study}, got the key of another one, in {path}: choose another "
            "--out, or delete that study"
        )


def _data_uri(picture: NDArray[np.uint8]) -> str:
    """Without loss: what a codec does to a picture is not to be judged."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
