"""All editors side by side: into ``comparison``."""

from __future__ import annotations

__all__ = ["main"]

import shutil
import sys

from pipeline import console
from pipeline.comparison import compare
from pipeline.config import load_params
from pipeline.data import replace_folder
from pipeline.paths import COMPARE, WORK
from pipeline.provenance import facts


@console.run_stage
def main() -> None:
    """Run the stage in the project's root, or in the folder of a study."""
    params = load_params()
    with console.stage("compare"):
        new = WORK / "comparison"
        shutil.rmtree(new, ignore_errors=True)
        rows = compare(params, facts(), new)
        replace_folder(new, COMPARE)
        console.result(f"{len(rows)} editors in {COMPARE / 'report.md'}")


if __name__ == "__main__":
    sys.exit(main())
