"""Figures: whole files, whole pictures, the same bytes for the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipeline import charts, figures

NAMES = ["gender", "age", "a rather long attribute name"]


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), dtype=np.uint8)


def test_a_mosaic_keeps_every_picture(pictures):
    board = figures.mosaic(pictures, cell=16, gap=2)
    assert board.shape == (2 * 18 - 2, 4 * 18 - 2, 3)
    assert np.array_equal(board[18:34, 54:70], pictures[1, 3])
    assert (board[16:18] == 255).all()


def test_a_sheet_shows_its_pictures_pixel_for_pixel(tmp_path, pictures):
    path = tmp_path / "sheet.png"
    figures.sheet(path, pictures, title="t", caption="c", column_names=list("abcd"))
    drawn = np.asarray(Image.open(path).convert("RGB"))
    cell = figures.resize(pictures[0, 0], figures.CELL)
    rows, columns = np.nonzero((drawn == cell[0, 0]).all(axis=-1))
    assert any(
        np.array_equal(drawn[y : y + len(cell), x : x + len(cell)], cell)
        for y, x in zip(rows, columns, strict=True)
    )


def test_nothing_touches_the_edges(tmp_path, pictures):
    values = {f"{metric}{end}": 0.5 for metric in ("success", "dependency") for end in ("", "_low", "_high")}
    rows = [{"editor": "styleae", **values}]
    history = {"epoch": [0, 1, 2], "loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.5, 2.0]}
    figures.sheet(
        tmp_path / "1.png",
        pictures,
        title="t",
        caption="c",
        column_names=list("abcd"),
        row_names=["one", NAMES[2]],
    )
    charts.heat_map(tmp_path / "2.png", np.eye(3), NAMES, "matrix", "caption")
    charts.bars(
        tmp_path / "3.png", dict.fromkeys(NAMES, values), {"success": "Success", "dependency": "AD"}, "bars"
    )
    charts.loss_curves(tmp_path / "4.png", history, "losses")
    charts.scatter(tmp_path / "5.png", rows, "dependency", "success", ("x", "y"), "scatter", "caption")
    charts.curves(
        tmp_path / "6.png",
        {name: [values] * 2 for name in NAMES},
        (0.5, 1.0),
        {"success": "Success", "dependency": "AD"},
        ("move (σ)", "curves"),
    )
    pairs = pictures[0, :1], pictures[1, :1], ["age +"]
    figures.gallery(
        tmp_path / "7.png", {"lost": pairs}, title="styleae", caption="A caption in many words. " * 4
    )
    for path in sorted(tmp_path.iterdir()):
        drawn = np.asarray(Image.open(path).convert("L"))
        border = np.concatenate(
            [drawn[:3].ravel(), drawn[-3:].ravel(), drawn[:, :3].ravel(), drawn[:, -3:].ravel()]
        )
        assert (border == 255).all(), path.name


def test_a_gallery_shows_its_pairs_pixel_for_pixel(tmp_path, pictures):
    path = tmp_path / "gallery.png"
    rows = {"lost": (pictures[0], pictures[1], list("abcd")), "fine": ((), (), [])}
    figures.gallery(path, rows, title="t", caption="c")
    drawn = np.asarray(Image.open(path).convert("RGB"))
    pair = np.concatenate([figures.resize(pictures[i, 3], figures.CELL) for i in (0, 1)], axis=1)
    left, right = pair[:, : figures.CELL], pair[:, figures.CELL :]
    rows_of, columns = np.nonzero((drawn == left[0, 0]).all(axis=-1))
    assert any(
        np.array_equal(drawn[y : y + figures.CELL, x : x + figures.CELL], left)
        and np.array_equal(drawn[y : y + figures.CELL, x + figures.CELL + 2 :][:, : figures.CELL], right)
        for y, x in zip(rows_of, columns, strict=True)
    )


def test_missing_numbers_leave_a_gap(tmp_path):
    matrix = np.full((2, 2), np.nan)
    charts.heat_map(tmp_path / "matrix.png", matrix, ["a", "b"], "t", "c")
    panels = {"success": "Success"}
    charts.bars(tmp_path / "bars.png", {"a": {"success": 0.5}, "b": {}}, panels, "t")
    charts.bars(tmp_path / "none.png", {"a": {}, "b": {}}, panels, "t")
    points = {"a": [{"success": 0.5}, {}], "b": [{}, {}]}
    charts.curves(tmp_path / "curves.png", points, (0.5, 1.0), panels, ("x", "t"))
    rows = [{"editor": "a", "success": 0.5}, {"editor": "b", "seconds": 1.0}]
    charts.scatter(tmp_path / "scatter.png", rows, "seconds", "success", ("x", "y"), "t", "c", scale="log")
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("count", [2, 18])
def test_every_editor_has_its_line_in_the_legend(tmp_path, monkeypatch, count):
    drawn = []
    monkeypatch.setattr(charts, "save", lambda figure, path: drawn.append(figure))
    rows = [{"editor": f"mean_difference_{n:02}", "x": 1.0, "y": float(n)} for n in range(count)]
    charts.scatter(tmp_path / "scatter.png", rows, "x", "y", ("x", "y"), "t", "c")
    (figure,) = drawn
    legend = figure.axes[0].get_legend().get_window_extent()
    assert legend.y0 >= 0 and legend.x1 <= figure.bbox.x1


def test_equal_numbers_are_equal_bytes(tmp_path):
    for name in ("one.png", "two.png"):
        charts.heat_map(tmp_path / name, np.eye(3), NAMES, "t", "c")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_positions_and_classes_stand_above_their_columns(tmp_path, monkeypatch):
    """A class below its attribute; the fraction of a position where it is."""
    seen = []
    monkeypatch.setattr(figures, "sheet", lambda *args, column_names, **options: seen.append(column_names))
    figures.traversal(tmp_path, np.zeros((1, 2, 4, 4, 3)), [-2.5, 1.0], "smile", "styleae")
    figures.edits_sheet(
        tmp_path, np.zeros((1, 4, 4, 3)), np.zeros((1, 1, 4, 4, 3)), ["species.cat"], "styleae"
    )
    assert seen == [["−2.5 σ", "+1 σ"], ["original", "species\ncat"]]


@pytest.mark.parametrize(("value", "label"), [(0.0, "0"), (0.5, "+0.5 σ"), (-2.0, "−2 σ")])
def test_slider_positions_have_signs(value, label):
    assert figures.sigma_label(value) == label
