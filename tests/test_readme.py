"""What README says of results stands in committed files."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_table_of_editors_is_that_of_the_comparison() -> None:
    table = (ROOT / "comparisons/peers/comparison/table.md").read_text()
    assert table in (ROOT / "README.md").read_text()
