"""Latents from elsewhere than the samples: of a wider truncation, and those of pictures."""

from __future__ import annotations

__all__ = ["inverted_styles", "outside_styles"]

import hashlib
import io
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipeline import console
from pipeline.bench import Arrays
from pipeline.cluster import connect, map_shards
from pipeline.config import Params
from pipeline.data import read_manifest, read_table, to_tensors
from pipeline.generators import load_generator
from pipeline.inversion import AT_ONCE, STARTS, Inverter, read_pictures
from pipeline.metrics.realism import Mahalanobis
from pipeline.paths import LABELS
from pipeline.sampling import draw_styles
from pipeline.scratch import code_digest, work_folder
from pipeline.weights import weights_digest, write_atomic

OUTSIDE_SEED = 1  # added to the seed of the samples


def outside_styles(params: Params) -> NDArray[np.float32]:
    """Latents from outside of the training distribution: more than no truncation."""
    count, asked = params.evaluate.outside_faces, params.generator
    if not count:
        return np.empty((0, 1), np.float32)
    seed = params.sample.seed + OUTSIDE_SEED
    generator = load_generator(asked.weights)
    styles = draw_styles(generator, seed, range(count), params.evaluate.outside_psi, asked.class_label)
    found: NDArray[np.float32] = styles.numpy()
    return found


def inverted_styles(params: Params, manifold: Mahalanobis) -> tuple[Arrays, float]:
    """Pictures from outside as latents, and the seconds that this took.

    They are the same for all editors, so whoever comes first inverts them, and the others find them in
    ``.work``, under a name that holds everything they depend on.

    Returns:
        ``w [P, w_dim]`` and ``rmse [P]``; nothing when no pictures are given.
    """
    asked, folder = params.evaluate, params.generator.weights
    if not asked.pictures:
        return {}, 0.0
    started = time.monotonic()
    pictures = read_pictures(asked.pictures, load_generator(folder).img_resolution)
    facts = {
        "generator": weights_digest(folder),
        "labels": read_manifest(LABELS).digest,
        "pictures": hashlib.sha256(pictures.tobytes()).hexdigest(),
        "steps": asked.inversion_steps,
        "code": code_digest("inversion", "generators", "metrics/image", "metrics/realism"),
    }
    file = work_folder("inversion", facts) / "styles.npz"
    if not file.is_file():
        arrays = _invert(pictures, params, manifold)
        content = io.BytesIO()
        np.savez(content, w=arrays["w"], rmse=arrays["rmse"])
        write_atomic(file, content.getvalue())
    with np.load(file, allow_pickle=False) as found:
        return dict(found), time.monotonic() - started


def _invert(pictures: NDArray[np.uint8], params: Params, manifold: Mahalanobis) -> Arrays:
    """The styles of pictures, a few at a time on every worker."""
    parts = [{"pictures": pictures[at : at + AT_ONCE]} for at in range(0, len(pictures), AT_ONCE)]
    kwargs = {
        "generator": params.generator.weights,
        "starts": to_tensors(read_table(LABELS, ["w"], "train", STARTS))[0].numpy(),
        "manifold": manifold,
        "steps": params.evaluate.inversion_steps,
    }
    with connect(params.cluster), console.progress(len(pictures), "pictures inverted") as bar:

        def advance(arrays: Mapping[str, NDArray]) -> None:
            bar.advance(len(arrays["w"]))

        done = map_shards(parts, Inverter, kwargs, params.cluster.evaluate, advance)
    return {name: np.concatenate([arrays[name] for arrays in done]) for name in ("w", "rmse")}
