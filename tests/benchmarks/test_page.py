"""The page of measurements holds what the benchmarks' files hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.harness import read_results
from benchmarks.page import CHARTS, CURVES, GOODPUT, PAGES, Curve, draw, draw_goodput, fill
from pipeline.errors import PipelineError

ROOT = Path(__file__).parents[2]
ROWS = [{"name": n, "batch": b, "rate": b * 1.5, "low": b, "high": 2.0 * b, "ratio": 1.0, "floor": None}
        for n in ("plain", "fast") for b in (1, 2)]  # fmt: skip
RESULTS = {
    "x": {
        "facts": {
            "date": "2026-01-02",
            "processor": "A",
            "threads": 2,
            "gflops": 3,
            "gigabytes_per_second": 4,
            "torch": "2.0",
            "mlflow.source.git.commit": "0123456789abcdef",
        },
        "tables": {"t": {"title": "T", "unit": "images", "rows": ROWS}},
    }
}


def test_a_block_is_filled_and_the_words_around_it_stay():
    page = "before\n<!-- table: x/t -->\nold\n<!-- end -->\nafter <!-- facts: x -->\n<!-- end -->\n"
    filled = fill(page, RESULTS)
    assert filled.startswith("before\n<!-- table: x/t -->\n|  | batch | images/s |") and "old" not in filled
    assert "| plain | 1 | 1.5 |" in filled and "commit 012345678" in filled
    assert fill(filled, RESULTS) == filled


def test_results_that_are_not_there_are_named():
    with pytest.raises(PipelineError, match=r"expected results of y/t, .* run `python -m benchmarks\.y`"):
        fill("<!-- table: y/t -->\n<!-- end -->", RESULTS)


def test_a_curve_is_drawn(tmp_path):
    draw(tmp_path / "a.png", Curve("x", "t", "batch", "Title"), RESULTS)
    assert (tmp_path / "a.png").stat().st_size > 5_000


def test_the_pages_are_what_the_committed_results_say():
    pages = "".join((ROOT / page).read_text() for page in PAGES)
    results = read_results(ROOT / "benchmarks/results")
    assert fill(pages, results) == pages
    assert {name.removesuffix("-gpu") for name in results} == set(BENCHMARKS)
    for path in [GOODPUT, *(CHARTS / f"{curve.script}-{curve.table}.png" for curve in CURVES)]:
        assert (ROOT / path).is_file() and f"performance/{path.name}" in pages


def test_goodput_is_drawn(tmp_path):
    draw_goodput(tmp_path / "a.png", read_results(ROOT / "benchmarks/results"))
    assert (tmp_path / "a.png").stat().st_size > 5_000
