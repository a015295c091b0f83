"""Estimate how strongly each direction of w shows in images: the pull-back metric, into ``data/pullback``."""

from __future__ import annotations

__all__ = ["main"]

import math
from collections.abc import Mapping
from typing import Any

from pipeline import console
from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.generators.validity import valid_up_to
from pipeline.jobs.submitting import runs_as_job
from pipeline.paths import PULLBACK
from pipeline.pulling import TOLERANCE, estimate_metric


@console.run_stage
@runs_as_job("pullback")
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    with console.stage("pullback"):
        with console.progress(params.pullback.products, "products") as bar:
            report = estimate_metric(
                params, lambda count, earlier: bar.skip(count) if earlier else bar.advance(count)
            )
        console.result(f"{report['products']:,} products, {_settled(report)}, in {PULLBACK}")
        console.result(f"distances in the metric: {valid_up_to(report['validity'])}")
        if report["convergence"] and report["stable_after"] is None:
            moved = report["convergence"][-1]["spectrum_change"]
            console.warning(
                f"half of the products give a spectrum that is {moved:.0%} off, more than {TOLERANCE:.0%}: "
                f"raise pullback.products to {_needed(report['products'], moved):,} or so"
            )


def _settled(report: Mapping[str, Any]) -> str:
    if (count := report["stable_after"]) is None:
        return "spectrum not known to be stable"
    return f"spectrum stable within {TOLERANCE:.0%} after {count:,}"


def _needed(products: int, moved: float) -> int:
    """The error falls with the square root of the number of products."""
    return math.ceil(products * (moved / TOLERANCE) ** 2 / 100) * 100


if __name__ == "__main__":
    run_and_exit(main)
