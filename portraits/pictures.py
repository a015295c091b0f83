"""Pictures that are not the generator's: rendered portraits that no network was trained on.

The evaluation inverts and edits them, as one does with photographs where the generator draws photographs.

Example:
    ``python -m portraits.pictures --out portraits/made/pictures.npz``
"""

from __future__ import annotations

__all__ = ["draw_pictures", "write_pictures"]

import argparse
import io
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.console import result, run_stage, stage
from pipeline.pixels import to_pixels
from pipeline.weights import write_atomic
from portraits.factors import D, factors_from_normals
from portraits.renderer import render

COUNT = 32
SEED = 909_090  # of no role, and of no chunk of the corpus, which has the seeds from 0 on
OUT = Path("portraits/made/pictures.npz")


def draw_pictures(count: int = COUNT, seed: int = SEED) -> NDArray[np.uint8]:
    """Portraits of people as they are, unsigned bytes ``[count, 64, 64, 3]``."""
    normals = torch.randn(count, D, generator=torch.Generator().manual_seed(seed))
    return to_pixels(render(factors_from_normals(normals)))


def write_pictures(path: Path) -> None:
    """Write them as ``evaluate.pictures`` reads them; every call writes the same bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, pictures=draw_pictures())
    write_atomic(path, content.getvalue())


def main() -> None:
    """Write the pictures from the command line."""
    parser = argparse.ArgumentParser(description="Render portraits that no network was trained on.")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    out = parser.parse_args().out
    with stage(f"{COUNT} pictures"):
        write_pictures(out)
        result(f"{out}, {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    sys.exit(run_stage(main)())
