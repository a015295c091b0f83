"""``python -m pipeline import-generator``: a checkpoint of another project as a network folder."""

from __future__ import annotations

__all__ = ["import_generator"]

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline import console
from pipeline.checkpoints import Checkpoint, read_checkpoint
from pipeline.data import new_folder
from pipeline.errors import PipelineError
from pipeline.figures import CELL, mosaic
from pipeline.generators import Generator, load_generator
from pipeline.pixels import to_pixels
from pipeline.sampling import draw_styles
from pipeline.weights import CONFIG, WEIGHTS, save_config, save_weights, sha256

SHEET = "samples.png"
TRUNCATION = 0.7  # what published sample sheets are drawn at
SEED = 0


def import_generator(file: Path, out: Path, network: str = "G_ema", samples: int = 16) -> None:
    """Convert a checkpoint into the folder ``out``, whole or not at all, and say what it holds.

    Nothing in the checkpoint is executed; see :mod:`pipeline.checkpoints`.

    Arguments:
        file: an NVIDIA pickle or a rosinality checkpoint of a StyleGAN2.
        out: the network folder: ``weights.safetensors``, ``config.json``, ``samples.png``.
        network: which of the file's generators: ``G_ema``, the moving average, or ``G``.
        samples: pictures on the contact sheet, 0 for none.

    Raises:
        PipelineError: when the file is no such checkpoint, or ``out`` holds something else.
    """
    if samples < 0:
        raise PipelineError(f"expected 0 samples or more, got {samples}, in --samples: choose another number")
    _refuse_other_content(out)
    with console.stage(f"import {file.name}"):
        checkpoint = read_checkpoint(file, network)
        with new_folder(out) as new:
            _write(new, checkpoint, file)
            generator = load_generator(new)
            if samples:
                Image.fromarray(_sheet(generator, samples)).save(new / SHEET)
            _describe(generator, checkpoint, file)
        console.result(f"{out / WEIGHTS}, {CONFIG}" + (f", {SHEET}: look at it" if samples else ""))


def _refuse_other_content(out: Path) -> None:
    """A folder that is no network, or a file, is not replaced."""
    if out.is_file() or out.is_dir() and any(out.iterdir()) and not (out / CONFIG).is_file():
        raise PipelineError(
            f"expected a new folder or a network's for --out, got other files, in {out}: choose another"
        )


def _write(folder: Path, checkpoint: Checkpoint, file: Path) -> None:
    """The network folder, with where it comes from and the digest of its weights in ``config.json``."""
    source = {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256(file), **checkpoint.source}
    config = {**checkpoint.config, "source": source}
    save_weights(folder, checkpoint.tensors, config)
    config["files"] = {WEIGHTS: sha256(folder / WEIGHTS)}
    save_config(folder, config)


@torch.no_grad()
def _sheet(generator: Generator, count: int) -> NDArray[np.uint8]:
    """Truncated samples in a square, one after the other: a large generator needs no more memory than one."""
    images = []
    with console.progress(count, "samples") as bar:
        for i in range(count):
            img = generator.synthesize(draw_styles(generator, SEED, [i], TRUNCATION))
            images.append(to_pixels(img)[0])
            bar.advance()
    columns = math.isqrt(count - 1) + 1
    blank = np.full_like(images[0], 255)
    images += [blank] * (-count % columns)
    grid = np.stack(images).reshape(-1, columns, *blank.shape)
    return mosaic(grid, cell=max(CELL, min(256, generator.img_resolution)))


def _describe(generator: Generator, checkpoint: Checkpoint, file: Path) -> None:
    """Two tables: the facts, and the blocks."""
    config, tensors = checkpoint.config, checkpoint.tensors
    facts = {
        "architecture": f"{config['architecture']}, {config['block_architecture']}",
        "resolution": f"{generator.img_resolution} × {generator.img_resolution}",
        "numbers": f"{sum(t.numel() for t in tensors.values()):,}",
        "z, c, w": f"{generator.z_dim}, {generator.c_dim}, {generator.w_dim}",
        "styles (num_ws)": generator.num_ws,
        "mapping layers": config["num_layers"],
        "conv_clamp": config["conv_clamp"] if config["conv_clamp"] is not None else "none: no fp16",
        "sha256": f"{sha256(file)[:16]}…",
        **{name: value for name, value in checkpoint.source.items() if isinstance(value, (str, int, float))},
    }
    console.table(["", "value"], [(name, _shorten(value)) for name, value in facts.items()])
    console.console.print()
    console.table(["block", "channels", "tensors", "numbers"], _blocks(config, tensors))


def _blocks(config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> list[tuple[object, ...]]:
    """A row for the mapping network and for each resolution."""
    parts = {"mapping": ("mapping.", "")}
    parts |= {f"{res} × {res}": (f"synthesis.b{res}.", width) for res, width in config["channels"].items()}
    rows: list[tuple[object, ...]] = []
    for name, (prefix, width) in parts.items():
        mine = [t for key, t in tensors.items() if key.startswith(prefix)]
        rows.append((name, width, len(mine), f"{sum(t.numel() for t in mine):,}"))
    return rows


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:16]}…"
