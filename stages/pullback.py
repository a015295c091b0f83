"""Estimate how strongly each direction of w shows in images: the pull-back metric, into ``data/pullback``."""

from __future__ import annotations

__all__ = ["main"]

from pipeline import console
from pipeline.cluster import run_and_exit
from pipeline.config import load_params
from pipeline.generators.pullback import save_metric
from pipeline.paths import PULLBACK
from pipeline.pulling import estimate_metric


@console.run_stage
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    with console.stage("pullback"):
        with console.progress(params.pullback.products, "products") as bar:
            metric, report = estimate_metric(params, bar.advance)
        save_metric(PULLBACK, metric, report)
        moved = (
            f", spectrum {report['spectrum_change']:.1%} from half's" if "spectrum_change" in report else ""
        )
        console.result(f"{params.pullback.products:,} products{moved}, in {PULLBACK}")


if __name__ == "__main__":
    run_and_exit(main)
