"""What README says of results stands in committed files."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("comparison", ["peers", "many"])
def test_the_table_of_editors_is_that_of_the_comparison(comparison: str) -> None:
    table = (ROOT / "comparisons" / comparison / "comparison/table.md").read_text()
    assert table in (ROOT / "README.md").read_text()
