"""Charts of a report: the rescoring matrix, bars with intervals, loss curves, editors as points.

Every function writes one PNG file, in the hand of :mod:`pipeline.figures`.
"""

from __future__ import annotations

__all__ = ["bars", "curves", "heat_map", "loss_curves", "scatter"]

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.figures import DPI, INK, MUTED, SERIES, STYLE, blank, save

LETTER = 0.078  # inches that a letter of an axis takes


def heat_map(
    path: str | Path, matrix: NDArray[np.float64], names: Sequence[str], title: str, caption: str
) -> None:
    """A ``[K, K]`` matrix with its numbers: i is edited, the judge sees j; cells that are NaN stay empty."""
    room = LETTER * max(map(len, names))
    side, left, right, bottom, top = 0.62 * len(names), 0.55 + room, 0.25, 0.6 + 0.65 * room, 0.7  # inches
    wide, tall = max(left + side + right, 5.2), bottom + side + top
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = blank(wide * DPI, tall * DPI)
        axes = figure.add_axes((left / wide, bottom / tall, side / wide, side / tall))
        axes.imshow(matrix, cmap="RdBu_r", vmin=-1.25, vmax=1.25)
        for (i, j), value in np.ndenumerate(matrix):
            if not np.isnan(value):
                ink = "white" if abs(value) > 0.8 else INK
                weight = "bold" if i == j else "normal"
                axes.text(
                    j,
                    i,
                    f"{round(value, 2) + 0.0:.2f}".replace("-", "−"),
                    ha="center",
                    va="center",
                    color=ink,
                    size=8,
                    weight=weight,
                )
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set(ylabel="edited attribute", xlabel="change that the judge sees, in σ")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        _heading(figure, title, caption)
        save(figure, path)


def bars(
    path: str | Path,
    rows: Mapping[str, Mapping[str, float]],
    metrics: Mapping[str, str],
    title: str,
    caption: str = "By attribute, with 95 % bootstrap intervals over latents.",
) -> None:
    """One panel for each metric, one bar for each row, such as an attribute, with 95 % intervals.

    Arguments:
        path: the file.
        rows: metrics by row: ``NAME``, ``NAME_low``, ``NAME_high``; a missing one leaves a gap.
        metrics: what each panel is called by the metric's name.
        title: the heading.
        caption: the line below it.
    """
    names = list(rows)
    with matplotlib.rc_context(STYLE):
        room, height = LETTER * max(map(len, names)) + 0.2, 1.35 + 0.34 * len(names)  # inches
        width = room + 2.8 * len(metrics)
        figure = blank(width * DPI, height * DPI)
        panels = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
        for panel, (metric, heading), colour in zip(panels, metrics.items(), SERIES, strict=False):
            values, errors = _with_errors(list(rows.values()), metric)
            panel.barh(names, values, color=colour, height=0.62, alpha=0.85)
            panel.errorbar(values, names, xerr=errors, fmt="none", ecolor=INK, elinewidth=1, capsize=2.5)
            panel.set_title(heading)
            panel.grid(axis="y", visible=False)
            panel.tick_params(length=0)
            panel.set_xlim(left=0)
        panels[0].invert_yaxis()
        figure.subplots_adjust(
            left=room / width, right=0.985, top=1 - 0.82 / height, bottom=0.3 / height, wspace=0.12
        )
        _heading(figure, title, caption)
        save(figure, path)


def curves(
    path: str | Path,
    rows: Mapping[str, Sequence[Mapping[str, float]]],
    x: Sequence[float],
    metrics: Mapping[str, str],
    labels: tuple[str, str],
) -> None:
    """One panel for each metric, one line for each row, such as an editor, with 95 % intervals.

    Arguments:
        path: the file.
        rows: for each row its metrics at each ``x``: ``NAME``, ``NAME_low``, ``NAME_high``.
        x: places on the horizontal axis.
        metrics: what each panel is called by the metric's name.
        labels: what the horizontal axis is called, and the heading.
    """
    with matplotlib.rc_context(STYLE):
        room = LETTER * max(map(len, rows)) + 0.6  # inches of the names beside the panels
        wide = 0.5 + 3.0 * len(metrics) + room
        figure = blank(wide * DPI, 4.2 * DPI)
        panels = np.atleast_1d(figure.subplots(1, len(metrics)))
        for panel, (metric, heading) in zip(panels, metrics.items(), strict=True):
            for (name, points), (colour, dash, dot) in zip(rows.items(), _pens(), strict=False):
                values, errors = _with_errors(points, metric)
                panel.plot(x, values, color=colour, ls=dash, label=name, marker=dot, ms=3)
                panel.fill_between(x, values - errors[0], values + errors[1], color=colour, alpha=0.15, lw=0)
            panel.set(xlabel=labels[0], xticks=list(x))
            panel.set_title(heading)
        panels[-1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0)
        figure.subplots_adjust(left=0.5 / wide, right=1 - room / wide, top=0.8, bottom=0.13, wspace=0.22)
        _heading(figure, labels[1], "Bands are 95 % bootstrap intervals.")
        save(figure, path)


def loss_curves(path: str | Path, history: Mapping[str, Sequence[float]], title: str) -> None:
    """Losses by epoch, training solid and validation (``val_…``) dashed; columns without both stay out."""
    losses = [name for name in history if f"val_{name}" in history and any(v > 0 for v in history[name])]
    with matplotlib.rc_context(STYLE):
        figure = blank(7.2 * DPI, 4.2 * DPI)
        axes = figure.add_axes((0.09, 0.12, 0.68, 0.7))
        for name, colour in zip(losses, SERIES * 3, strict=False):
            width = 2.4 if name == "loss" else 1.3
            axes.plot(history["epoch"], history[name], color=colour, lw=width, label=name)
            axes.plot(history["epoch"], history[f"val_{name}"], color=colour, lw=width, ls=(0, (3, 1.5)))
        axes.set(xlabel="epoch", yscale="log")
        axes.plot([], [], color=MUTED, ls=(0, (3, 1.5)), label="validation")
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0)
        _heading(figure, title, "Training losses, means over each epoch.")
        save(figure, path)


def scatter(
    path: str | Path,
    rows: Sequence[Mapping[str, Any]],
    x: str,
    y: str,
    labels: tuple[str, str],
    title: str,
    caption: str,
    scale: str = "linear",
) -> None:
    """Editors as points with 95 % intervals in both metrics.

    Arguments:
        path: the file.
        rows: one mapping for each editor: ``editor``, and each metric with its ``_low`` and ``_high``.
        x: metric of the horizontal axis.
        y: metric of the vertical axis.
        labels: what the axes are called.
        title: the heading.
        caption: the line below it.
        scale: of the horizontal axis, ``linear`` or ``log``.
    """
    with matplotlib.rc_context(STYLE):
        high = max(4.6, 1.1 + 0.24 * len(rows))  # inches: room for a line of the legend for each row
        figure = blank(7.2 * DPI, high * DPI)
        axes = figure.add_axes((0.11, 0.6 / high, 0.6, 1 - 1.43 / high))
        for row, (colour, _, dot) in zip(rows, _pens(), strict=False):
            (at_x, error_x), (at_y, error_y) = (_with_errors([row], metric) for metric in (x, y))
            axes.errorbar(
                at_x,
                at_y,
                xerr=error_x,
                yerr=error_y,
                fmt=dot,
                ms=8,
                color=colour,
                capsize=3,
                elinewidth=1.2,
                label=row["editor"],
            )
        axes.set(xlabel=labels[0], ylabel=labels[1], xscale=scale)
        if scale == "log":
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        axes.margins(0.18)
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), borderaxespad=0, labelspacing=0.9)
        _heading(figure, title, caption)
        save(figure, path)


def _pens() -> list[tuple[str, Any, str]]:
    """A colour, a dash and a mark for each of many rows, no two alike."""
    rounds: list[tuple[Any, str]] = [("-", "o"), ((0, (4, 1.5)), "s"), ((0, (1, 1)), "^")]
    return [(colour, dash, dot) for dash, dot in rounds for colour in SERIES]


def _with_errors(
    rows: Sequence[Mapping[str, Any]], metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values ``[R]`` and the distances to the ends of their intervals ``[2, R]``."""
    value, low, high = (
        np.array([row.get(f"{metric}{end}", np.nan) for row in rows], float) for end in ("", "_low", "_high")
    )
    return value, np.maximum(np.stack([value - low, high - value]), 0)


def _heading(figure: Figure, title: str, caption: str) -> None:
    """Title and caption at the upper left corner, at the same distance in every figure."""
    wide, tall = figure.get_size_inches() * 72
    figure.text(12 / wide, 1 - 8 / tall, title, size=12, weight="bold", va="top")
    figure.text(12 / wide, 1 - 25 / tall, caption, size=8, color=MUTED, va="top")
