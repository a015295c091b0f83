"""The explorer: one HTML file in which people slide the attributes of a few faces.

Every position of every slider is drawn beforehand, so the page needs no model, no server and no network, and
opens from a folder, an e-mail or the sandboxed frame of MLflow's artifact viewer.
"""

from __future__ import annotations

__all__ = ["LIMIT", "Face", "explorer_page"]

import base64
import io
import json
from collections.abc import Sequence
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
"""Bytes of a page: what a browser opens at once and a mail server lets through."""

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
    faces: Sequence[Face], *, editor: str, attributes: Sequence[str], values: Sequence[float]
) -> str:
    """The page as text, below ``LIMIT`` bytes: pictures are compressed as far as that takes.

    Arguments:
        faces: the faces to pick from.
        editor: what the heading calls the editor.
        attributes: names of the K sliders.
        values: the S positions of each slider in σ, evenly spaced, 0 in the middle.

    Raises:
        PipelineError: when there are so many faces, attributes and positions that no quality makes the page
            small enough.
    """
    with ThreadPoolExecutor() as threads:  # resizing and packing hold no lock of the interpreter
        sheets = list(threads.map(_sheet, faces))
        for quality in QUALITIES:
            pictures = threads.map(partial(_data_uri, quality=quality), sheets)
            data = _data(faces, list(pictures), editor, attributes, values)
            page = TEMPLATE.read_text(encoding="utf-8").replace(PLACE, data)
            if len(page.encode()) < LIMIT:
                return page
    raise PipelineError(
        f"expected an explorer page below {LIMIT >> 20} MiB, got {len(page) >> 20} MiB with {len(faces)} "
        f"faces of {len(attributes)} attributes: lower evaluate.explorer_faces or evaluate.explorer_steps"
    )


def _sheet(face: Face) -> Image.Image:
    """All frames of a face: a row for each attribute, a column for each position; the original is last."""
    columns, steps = face.frames.shape[:2]
    last = np.broadcast_to(face.original, (1, steps, *face.original.shape))
    return Image.fromarray(mosaic(np.concatenate([face.frames, last]), cell=SIDE, gap=0))


def _data(
    faces: Sequence[Face],
    pictures: Sequence[str],
    editor: str,
    attributes: Sequence[str],
    values: Sequence[float],
) -> str:
    """What the page's script reads, as JSON that cannot end the script element."""
    data = {
        "editor": editor,
        "attributes": list(attributes),
        "values": [round(float(v), 4) for v in values],
        "side": SIDE,
        "scale": READING,
        "faces": [
            {"sheet": picture, "moves": np.round(face.moves, 2).tolist()}
            for face, picture in zip(faces, pictures, strict=True)
        ],
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _data_uri(image: Image.Image, quality: int) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
