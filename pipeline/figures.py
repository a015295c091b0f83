"""Sheets of faces, and the hand that all figures of a report are drawn in.

Pictures are uint8 arrays ``[..., h, w, 3]``. Every function writes one PNG file and draws without a display.
"""

from __future__ import annotations

__all__ = [
    "DPI",
    "INK",
    "MUTED",
    "PNG",
    "SERIES",
    "STYLE",
    "blank",
    "edits_sheet",
    "gallery",
    "headings",
    "mosaic",
    "resize",
    "save",
    "sheet",
    "sigma_label",
    "traversal",
]

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]

DPI = 150
CELL = 132  # pixels of one face in a sheet
GAP = 8
POINT = DPI / 72  # pixels of one typographic point
LETTER = 0.6  # width of a letter as a share of the size of its type
PNG: Any = {"compress_level": 1, "compress_type": zlib.Z_RLE}
"""How PNG files are packed: run lengths after PNG's own filters, as small as Pillow's default in a quarter of
the time."""

INK, MUTED, GRID = "#1c2330", "#667085", "#e4e7ec"
SERIES = ("#3b6fd4", "#e07b39", "#2a9d75", "#b5487f", "#7a63c7", "#c29a20", "#3f9fb5", "#8a6d5b")

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def resize(picture: Pictures, side: int) -> Pictures:
    """One picture ``[h, w, 3]`` at ``side × side`` pixels, by Lanczos."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def mosaic(
    pictures: Pictures,
    *,
    cell: int = CELL,
    gap: int = GAP,
    wide_columns: Sequence[int] = (),
    wide_rows: Sequence[int] = (),
) -> Pictures:
    """Pictures ``[R, C, h, w, 3]`` on white, row by row.

    Arguments:
        pictures: the pictures.
        cell: side of each, in pixels.
        gap: pixels between them.
        wide_columns: columns with a second gap to their left.
        wide_rows: rows with a second gap above.
    """
    tops = _starts(pictures.shape[0], cell, gap, wide_rows)
    lefts = _starts(pictures.shape[1], cell, gap, wide_columns)
    canvas = np.full((tops[-1] + cell, lefts[-1] + cell, 3), 255, np.uint8)
    for row, top in zip(pictures, tops, strict=True):
        for picture, left in zip(row, lefts, strict=True):
            canvas[top : top + cell, left : left + cell] = resize(picture, cell)
    return canvas


def _starts(count: int, cell: int, gap: int, wide: Sequence[int]) -> list[int]:
    """Where each row or column of a mosaic begins, in pixels."""
    return [i * (cell + gap) + gap * sum(at <= i for at in wide) for i in range(count)]


def sheet(
    path: str | Path,
    pictures: Pictures,
    *,
    title: str,
    caption: str,
    column_names: Sequence[str],
    row_names: Sequence[str] = (),
    wide_columns: Sequence[int] = (),
    wide_rows: Sequence[int] = (),
) -> None:
    """Draw pictures ``[R, C, h, w, 3]`` with names over the columns and beside the rows.

    Each picture keeps its pixels: it is enlarged once, by Lanczos, and never again.
    """
    image = mosaic(pictures, wide_columns=wide_columns, wide_rows=wide_rows)
    height, width = image.shape[:2]
    lines = max(name.count("\n") for name in column_names)
    top, bottom, side = round((50 + 10 * lines) * POINT), round(10 * POINT), round(12 * POINT)
    names = round(
        max((len(name) for name in row_names), default=0) * 5.6 * POINT + (8 * POINT if row_names else 0)
    )
    wide = max(width + names + 2 * side, round((max(len(title) * 7.8, len(caption) * 4.9) + 20) * POINT))
    with matplotlib.rc_context(STYLE):
        figure, tall = blank(wide, height + top + bottom), height + top + bottom

        def write(x: float, y: float, text: str, **options: Any) -> None:  # noqa: ANN401
            figure.text(x / wide, 1 - y / tall, text, **options)

        write(side, 8 * POINT, title, size=12, weight="bold", va="top")
        write(side, 23 * POINT, caption, size=8, color=MUTED, va="top")
        lefts = _starts(len(column_names), CELL, GAP, wide_columns)
        tops = _starts(len(row_names), CELL, GAP, wide_rows)
        for name, x in zip(column_names, lefts, strict=True):
            longest = max(map(len, name.split("\n")))
            size = min(8.5, CELL / POINT / (LETTER * longest))  # a gap's width from the next one
            write(side + names + x + CELL / 2, top - 3 * POINT, name, size=size, ha="center", va="bottom")
        for name, y in zip(row_names, tops, strict=True):
            write(side + names - 5 * POINT, top + y + CELL / 2, name, size=8.5, ha="right", va="center")
        page = _pixels(figure)
    page[top : top + height, side + names : side + names + width] = image
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(page).save(path, **PNG)


def headings(attributes: Sequence[str]) -> list[str]:
    """Names over the columns of a sheet: an original, then edits; the class of an attribute is below it."""
    return ["original", *(name.replace(".", "\n", 1) for name in attributes)]


def edits_sheet(
    path: str | Path, originals: Pictures, edited: Pictures, attributes: Sequence[str], editor: str
) -> None:
    """Rows: faces ``[F, h, w, 3]``; columns: the original, then each attribute moved, ``[F, K, h, w, 3]``."""
    sheet(
        path,
        np.concatenate([originals[:, None], edited], axis=1),
        title=f"{editor}: one attribute at a time",
        caption="Each attribute moved by 2 σ toward the other side; everything else should stay.",
        column_names=headings(attributes),
        wide_columns=(1,),
    )


def traversal(
    path: str | Path, frames: Pictures, values: Sequence[float], attribute: str, editor: str
) -> None:
    """Rows: faces; columns: the positions ``values [S]`` of one slider, ``frames [F, S, h, w, 3]``."""
    sheet(
        path,
        frames,
        title=f"{editor}: {attribute}",
        caption=f"One slider from end to end: {attribute} moves, everything else should stay.",
        column_names=[sigma_label(v) for v in values],
    )


def gallery(
    path: str | Path,
    rows: Mapping[str, tuple[Pictures, Pictures, Sequence[str]]],
    *,
    title: str,
    caption: str,
) -> None:
    """Rows of pairs of pictures, each pair with a caption below it.

    Arguments:
        path: the file.
        rows: by the name of a row, which stands above it: left and right pictures ``[N, h, w, 3]``, captions.
        title: the heading.
        caption: the line below it.
    """
    pair, line = 2 * CELL + 2, round(20 * POINT)
    most = max(max((len(captions) for _, _, captions in rows.values()), default=1), 2)
    side, top, row = round(12 * POINT), round(46 * POINT), CELL + 2 * line
    needed = round((max(len(title) * 7.8, len(caption) * 4.9) + 20) * POINT)  # heading and caption have room
    wide, tall = max(most * (pair + 2 * GAP) + 2 * side, needed), top + len(rows) * row + side
    with matplotlib.rc_context(STYLE):
        figure = blank(wide, tall)
        figure.text(side / wide, 1 - 8 * POINT / tall, title, size=12, weight="bold", va="top")
        figure.text(side / wide, 1 - 23 * POINT / tall, caption, size=8, color=MUTED, va="top")
        for index, (name, (_, _, captions)) in enumerate(rows.items()):
            y = top + index * row
            text = name if captions else f"{name}: none"
            figure.text(side / wide, 1 - (y + 0.7 * line) / tall, text, size=9, weight="bold")
            for n, words in enumerate(captions):
                x = side + n * (pair + 2 * GAP) + pair / 2
                figure.text(
                    x / wide, 1 - (y + line + CELL + 3 * POINT) / tall, words, size=7, va="top", ha="center"
                )
        page = _pixels(figure)
    for index, (left, right, captions) in enumerate(rows.values()):
        y = top + index * row + line
        for n in range(len(captions)):
            x = side + n * (pair + 2 * GAP)
            page[y : y + CELL, x : x + pair] = mosaic(np.stack([left[n], right[n]])[None], gap=2)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(page).save(path, **PNG)


def sigma_label(value: float) -> str:
    """A position of a slider, with a sign that is as wide as the plus."""
    return "0" if value == 0 else f"{'+' if value > 0 else '−'}{abs(value):g} σ"


def blank(width: float, height: float) -> Figure:
    """An empty white figure of so many pixels."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def _pixels(figure: Figure) -> Pictures:
    """A drawn figure, ``[h, w, 3]``."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def save(figure: Figure, path: str | Path) -> None:
    """Write without date and version, so that equal figures are equal bytes."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, metadata={"Software": None}, pil_kwargs=PNG)
