"""What README and docs/ say of results stands in committed files."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("comparison", "page"),
    [("peers", "README.md"), ("seeds", "docs/comparisons.md"), ("many", "docs/comparisons.md")],
)
def test_the_table_of_editors_is_that_of_the_comparison(comparison: str, page: str) -> None:
    table = (ROOT / "comparisons" / comparison / "comparison/table.md").read_text()
    assert table in (ROOT / page).read_text()


def test_the_second_rows_are_those_of_the_comparison_with_searched_settings() -> None:
    lines = (ROOT / "comparisons/tuned/comparison/table.md").read_text().splitlines()
    rows = [line for line in lines if "_tuned |" in line]
    assert len(rows) == 8 and "\n".join([*lines[:2], *rows]) in (ROOT / "docs/comparisons.md").read_text()
