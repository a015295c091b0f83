"""Rendered portraits with their true factors: what the classifiers are trained on and scored with.

Every role draws its own portraits from its own seed, so labeler, judge and identity never see a common
picture, and the last rows of each are held out. Pictures are appended to one file; a call that was killed
goes on where it stopped.

Example:
    ``python -m portraits.renders labeler``
"""

from __future__ import annotations

__all__ = [
    "CACHE",
    "HELD_OUT",
    "PERSON",
    "Renders",
    "draw_factors",
    "draw_pairs",
    "open_renders",
    "write_renders",
]

import argparse
import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.console import progress, run_stage, stage
from pipeline.errors import PipelineError
from pipeline.weights import write_atomic
from portraits.factors import INDEX, NUISANCES, D, factors_from_normals
from portraits.recipes import ROLES, load_recipe
from portraits.renderer import render

CACHE = Path("portraits/cache")
HELD_OUT = 2000  # an even number: identity keeps the two portraits of a person side by side
RESOLUTION = 64
CHUNK = 200
IMAGES, PARTIAL, META = "images.u8", "images.u8.partial", "renders.json"

SCENE = ("background_hue", "background_lightness", "light", "shirt_hue", "shirt_lightness")
PERSON = tuple(name for name in NUISANCES if name not in SCENE)


@dataclass(frozen=True, slots=True)
class Renders:
    """Portraits ``images [N, R, R, 3]`` (unsigned bytes, memory-mapped) and their factors ``[N, D]``."""

    images: np.ndarray
    factors: Tensor

    def batch(self, rows: Tensor) -> Tensor:
        """Images ``[len(rows), 3, R, R]`` in [-1, 1]."""
        return torch.from_numpy(self.images[rows.numpy()]).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def draw_factors(count: int, seed: int) -> Tensor:
    """Factors ``[count, D]``: even rows as people are, odd rows with every correlation broken.

    A classifier must read each attribute by itself, and not by the company that it usually keeps: an edited
    face may well be a bald young woman. So each column of the odd rows is shuffled on its own.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = factors_from_normals(torch.randn(count, D, generator=generator))
    odd = factors[1::2]
    shuffled = [odd[torch.randperm(len(odd), generator=generator), i] for i in range(D)]
    factors[1::2] = torch.stack(shuffled, dim=1)
    return factors


def draw_pairs(count: int, seed: int) -> Tensor:
    """Factors ``[count, D]`` in which rows 2i and 2i + 1 are one person, other attributes, other scene."""
    factors = factors_from_normals(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)))
    person = [INDEX[name] for name in PERSON]
    factors[1::2, person] = factors[0::2, person]
    return factors


def write_renders(role: str, count: int, seed: int, cache: Path = CACHE) -> None:
    """Render the portraits of a role, going on where an earlier call stopped.

    Arguments:
        role: ``labeler``, ``judge`` or ``identity``.
        count: portraits, those held out included.
        seed: of the factors.
        cache: folder of all roles.
    """
    folder, factors = cache / role, _draw(role, count, seed)
    meta: dict[str, int | str] = {"count": count, "seed": seed, "pictures": _digest(factors[:16])}
    _prepare(folder, meta)
    if (folder / IMAGES).exists():
        return
    with progress(count, f"{role} portraits") as bar, open(folder / PARTIAL, "ab") as file:
        done = file.tell() // _row_bytes()
        file.truncate(done * _row_bytes())
        bar.skip(done)
        for part in factors[done:].split(CHUNK):
            file.write(_pixels(part).tobytes())
            bar.advance(len(part))
    os.replace(folder / PARTIAL, folder / IMAGES)


def open_renders(role: str, cache: Path = CACHE) -> Renders:
    """The portraits of a role, the last ``HELD_OUT`` of which are for scoring.

    Raises:
        PipelineError: when they are not there, or not all of them.
    """
    folder = cache / role
    if not (folder / IMAGES).exists():
        raise PipelineError(
            f"expected rendered portraits in {folder}, got none: run python -m portraits.renders {role}"
        )
    meta = json.loads((folder / META).read_text())
    images = np.memmap(folder / IMAGES, np.uint8, "r", shape=(meta["count"], RESOLUTION, RESOLUTION, 3))
    return Renders(images, _draw(role, meta["count"], meta["seed"]))


def _draw(role: str, count: int, seed: int) -> Tensor:
    return (draw_pairs if role == "identity" else draw_factors)(count, seed)


def _prepare(folder: Path, meta: dict[str, int | str]) -> None:
    """Throw away what was rendered from another count or seed, or by a renderer that paints differently."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / META).exists() and json.loads((folder / META).read_text()) == meta:
        return
    for name in (META, IMAGES, PARTIAL):
        (folder / name).unlink(missing_ok=True)
    write_atomic(folder / META, json.dumps(meta).encode())


def _pixels(factors: Tensor) -> np.ndarray:
    """Portraits as unsigned bytes ``[N, R, R, 3]``."""
    img = render(factors, RESOLUTION).add(1.0).mul(127.5).round().clamp(0, 255).byte()
    return img.permute(0, 2, 3, 1).contiguous().numpy()


def _digest(factors: Tensor) -> str:
    return hashlib.sha256(_pixels(factors).tobytes()).hexdigest()


def _row_bytes() -> int:
    return RESOLUTION * RESOLUTION * 3


def main() -> None:
    """Render the portraits of one role from the command line."""
    parser = argparse.ArgumentParser(description="Render the portraits that a classifier is trained on.")
    parser.add_argument("role", choices=ROLES)
    role = parser.parse_args().role
    recipe = load_recipe(role)
    with stage(f"render {role}"):
        write_renders(role, recipe.count, recipe.seed)


if __name__ == "__main__":
    sys.exit(run_stage(main)())
