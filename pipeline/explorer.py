"""The explorer: one HTML file in which people slide the attributes of a few faces.

It shows one editor, or two of several side by side: the same face at the same position of the same slider.

Every position of every slider is drawn beforehand, so the page needs no model, no server and no network, and
opens from a folder, an e-mail or the sandboxed frame of MLflow's artifact viewer.
"""

from __future__ import annotations

__all__ = ["LIMIT", "SEVERAL_LIMIT", "SHEETS", "Face", "explorer_page"]

import base64
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import PipelineError
from pipeline.figures import mosaic

SIDE = 128
"""Pixels of one frame in the page; the browser smooths it up from there."""

LIMIT = 4 * 1024 * 1024
"""Bytes of a page of one editor: what a browser opens at once and a mail server lets through."""

SEVERAL_LIMIT = 3 * LIMIT
"""Bytes of a page of several editors, which is opened from a folder rather than mailed."""

SHEETS = 32
"""Faces times editors in a page of several editors: each then has about the bytes of one of ten faces in a
page of one editor."""

QUALITIES = (90, 84, 76, 66, 54, 40)
READING = 3.0  # σ at which the bars of the judge are full

TEMPLATE = Path(__file__).with_name("explorer.html")
PLACE = "/*DATA*/null"


@dataclass(frozen=True, slots=True)
class Face:
    """One face under every slider.

    Attributes:
        original: ``[h, w, 3]``, uint8.
        frames: ``[K, S, h, w, 3]``, uint8: attribute k at slider position s.
        moves: what the judge sees change in each frame against the original, in σ, ``[K, S, K]``.
    """

    original: NDArray[np.uint8]
    frames: NDArray[np.uint8]
    moves: NDArray[np.float64]


def explorer_page(
    faces: Mapping[str, Sequence[Face]], *, attributes: Sequence[str], values: Sequence[float]
) -> str:
    """The page as text, below its limit of bytes: pictures are compressed as far as that takes.

    Of several editors two are shown at a time, the first two at the start.

    Arguments:
        faces: the faces to pick from under each editor, in the order of the pickers; every editor has the
            same ones. Of several editors, the page holds the first faces only, ``SHEETS`` sheets at most.
        attributes: names of the K sliders.
        values: the S positions of each slider in σ, evenly spaced, 0 in the middle.

    Raises:
        PipelineError: when the editors show different faces, or when there are so many faces, attributes and
            positions that no quality makes the page small enough.
    """
    _check_same(faces)
    limit, kept = LIMIT, None
    if len(faces) > 1:
        limit, kept = SEVERAL_LIMIT, max(SHEETS // len(faces), 1)
    shown = {editor: each[:kept] for editor, each in faces.items()}
    with ThreadPoolExecutor() as threads:  # resizing and packing hold no lock of the interpreter
        sheets = list(threads.map(_sheet, [face for each in shown.values() for face in each]))
        for quality in QUALITIES:
            pictures = threads.map(partial(_data_uri, quality=quality), sheets)
            data = _data(shown, list(pictures), attributes, values)
            page = TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data)
            if len(page.encode()) < limit:
                return page
    raise PipelineError(
        f"expected an explorer page below {limit >> 20} MiB, got {len(page) >> 20} MiB with {len(sheets)} "
        f"faces of {len(attributes)} attributes: lower evaluate.explorer_faces or evaluate.explorer_steps"
    )


def _check_same(faces: Mapping[str, Sequence[Face]]) -> None:
    """Refuse editors that were evaluated on different faces: side by side they would look like edits."""
    (first, expected), *others = faces.items()
    for editor, each in others:
        same = len(each) == len(expected) and all(
            np.array_equal(a.original, b.original) for a, b in zip(each, expected, strict=True)
        )
        if not same:
            raise PipelineError(
                f"expected the faces of {first}, got other ones of {editor}, in the explorer: evaluate both "
                "with the same parameters"
            )


def _sheet(face: Face) -> Image.Image:
    """All frames of a face: a row for each attribute, a column for each position; the original is last."""
    columns, steps = face.frames.shape[:2]
    last = np.broadcast_to(face.original, (1, steps, *face.original.shape))
    return Image.fromarray(mosaic(np.concatenate([face.frames, last]), cell=SIDE, gap=0))


def _data(
    faces: Mapping[str, Sequence[Face]],
    pictures: Sequence[str],
    attributes: Sequence[str],
    values: Sequence[float],
) -> str:
    """What the page's script reads, as JSON that cannot end the script element."""
    picture = iter(pictures)
    data = {
        "attributes": list(attributes),
        "values": [round(float(v), 4) for v in values],
        "side": SIDE,
        "scale": READING,
        "editors": [
            {
                "name": editor,
                "faces": [{"sheet": next(picture), "moves": np.round(f.moves, 2).tolist()} for f in each],
            }
            for editor, each in faces.items()
        ],
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _data_uri(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
