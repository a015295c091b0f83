"""All editors in one table and two pictures: into ``comparison``."""

from __future__ import annotations

__all__ = ["main"]

import shutil
import sys

from pipeline import console
from pipeline.comparison import compare
from pipeline.config import load_params
from pipeline.data import replace_folder
from pipeline.paths import COMPARE, WORK, report_folder


@console.run_stage
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    with console.stage("compare"):
        new, editors = WORK / "comparison", list(params.editor)
        shutil.rmtree(new, ignore_errors=True)
        rows = compare(report_folder(editors[0]).parent, editors, params.compare.columns, new)
        replace_folder(new, COMPARE)
        console.result(f"{len(rows)} editors in {COMPARE / 'table.md'}")


if __name__ == "__main__":
    sys.exit(main())
