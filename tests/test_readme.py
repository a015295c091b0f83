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


def test_the_other_rows_of_peers_are_those_of_the_comparison_with_searched_settings() -> None:
    lines, known = (
        (ROOT / "comparisons" / name / "comparison/table.md").read_text().splitlines()
        for name in ("tuned", "peers")
    )
    editors = {line.split("|")[1] for line in known}
    rows = [line for line in lines if line.split("|")[1] not in editors]
    assert len(rows) == 11 and "\n".join([*lines[:2], *rows]) in (ROOT / "docs/comparisons.md").read_text()
