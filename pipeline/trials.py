"""What an editor is put through on the bench beside single edits, and the worker that does all of it.

Sliders swept from end to end, attributes overwritten without calibration, edits one after the other. Each
trial takes a few latents and gives arrays with a row for each.
"""

from __future__ import annotations

__all__ = [
    "REACH",
    "Chunk",
    "edits",
    "outside",
    "overwrite",
    "sequence",
    "slide",
    "slider_strengths",
    "sweep",
]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.bench import Arrays, Bench, Folders, array, each
from pipeline.metrics.image import ssim
from pipeline.metrics.matching import StrengthSearch
from pipeline.pixels import to_pixels
from pipeline.protocol import Protocol

REACH = 2.5
"""How far the sliders go to either side, in σ."""

PICTURE = 256
"""Pictures are drawn at the generator's resolution, but at most this many pixels wide."""


class Chunk:
    """A worker: loads the networks once and puts a chunk of latents at a time through one trial.

    A chunk is ``w [N, w_dim]``, the name of its ``trial``, and the arguments of that. (It stands here because
    a worker then imports nothing that draws charts, which takes half a second.)
    """

    def __init__(self, folders: Folders, protocol: Protocol, device: str) -> None:
        self.bench, self.protocol = Bench(folders, device), protocol

    def __call__(self, chunk: Mapping[str, Any]) -> Arrays:
        """The arrays of the trial."""
        arguments = {name: chunk[name] for name in chunk if name not in ("w", "trial", "group")}
        return TRIALS[chunk["trial"]](self.bench, torch.from_numpy(chunk["w"]), self.protocol, **arguments)


def edits(
    bench: Bench, w: Tensor, protocol: Protocol, delta: float, positions: int, drawn: int, slid: int
) -> Arrays:
    """Single edits, and the sliders that they calibrate.

    Arguments:
        bench: the networks.
        w: the styles ``[N, w_dim]``.
        protocol: what is asked.
        delta: the move by which the sliders are calibrated.
        positions: of each slider.
        drawn: how many of the first latents are drawn under every slider.
        slid: how many are put through every slider in numbers.

    Returns:
        The arrays of :meth:`Bench.measure`, those of :func:`sweep` with ``swept_`` before their names, and
        those of :func:`slide` with ``slid_``.
    """
    found = bench.measure(w, protocol)
    arrays = dict(found)
    strengths = slider_strengths(found, protocol.deltas, delta, positions)
    if drawn:
        swept = sweep(bench, w[:drawn], protocol, strengths, _largest(found)[:drawn])
        arrays |= {f"swept_{name}": values for name, values in swept.items()}
    if slid:
        arrays |= {f"slid_{name}": v for name, v in slide(bench, w[:slid], protocol, strengths).items()}
    return arrays


def outside(bench: Bench, w: Tensor, protocol: Protocol, delta: float) -> Arrays:
    """Single edits of latents from elsewhere: one move, to the other side."""
    return bench.measure(w, replace(protocol, deltas=(delta,), sides="other"))


@torch.inference_mode()
def sweep(bench: Bench, w: Tensor, protocol: Protocol, strengths: NDArray, matched: NDArray) -> Arrays:
    """Pictures of every face ``w [F, w_dim]`` under every slider.

    Arguments:
        bench: the networks.
        w: the styles.
        protocol: the size of batches.
        strengths: of each position of each slider, ``[K, S]``.
        matched: of one edit of each attribute of each face, ``[F, K]``; NaN for none.

    Returns:
        uint8 pictures ``original [F, h, w, 3]``, ``frames [F, K, S, h, w, 3]`` and
        ``edited [F, K, h, w, 3]``, black where there is no strength; and what the judge sees in each frame,
        raw, ``seen [F, K, S, K]``.
    """
    w, (columns, positions) = w.to(bench.device), strengths.shape
    asked = torch.from_numpy(strengths.reshape(-1))
    # At strength 0 it does not matter which attribute: one picture of a face is drawn for all of them.
    unmoved, position = asked == 0, torch.arange(len(asked))
    drawn, shown = position.where(~unmoved, unmoved.int().argmax()).unique(return_inverse=True)
    frames, seen = [], []
    for rows in torch.arange(len(w) * len(drawn)).split(protocol.batch):
        face, at = rows // len(drawn), drawn[rows % len(drawn)]
        images = bench.synthesize(bench.edit(w[face], at // positions, asked[at]))
        frames.append(_drawn(images))
        seen.append(array(bench.judge(images)))

    def every(parts: Sequence[NDArray]) -> NDArray:
        """Rows of drawn pictures as ``[F, K, S, …]``."""
        values = np.concatenate(parts)
        values = values.reshape(len(w), len(drawn), *values.shape[1:])[:, shown.numpy()]
        return values.reshape(len(w), *strengths.shape, *values.shape[2:])

    originals = np.concatenate([_drawn(bench.synthesize(part)) for part in w.split(protocol.batch)])
    edited = np.zeros((len(w) * columns, *originals.shape[1:]), np.uint8)
    reached = torch.from_numpy(np.flatnonzero(~np.isnan(matched)))
    for rows in reached.split(protocol.batch):
        strength = torch.from_numpy(matched.reshape(-1))[rows]
        edited[rows.numpy()] = _drawn(
            bench.synthesize(bench.edit(w[rows // columns], rows % columns, strength))
        )
    return {
        "original": originals,
        "frames": every(frames),
        "edited": edited.reshape(len(w), columns, *originals.shape[1:]),
        "seen": every(seen),
    }


@torch.inference_mode()
def slide(bench: Bench, w: Tensor, protocol: Protocol, strengths: NDArray) -> Arrays:
    """Every slider from end to end, in numbers.

    Returns:
        ``scores [N, K, S]``: the judge on the moved attribute, raw; ``steps [N, K, S - 1]``: 1 - SSIM between
        the pictures at neighbouring positions.
    """
    w, (columns, positions) = w.to(bench.device), strengths.shape
    asked = torch.from_numpy(strengths)
    scores, steps = np.empty((len(w), columns, positions)), np.empty((len(w), columns, positions - 1))
    for n in range(len(w)):
        for k in range(columns):
            column = torch.full((positions,), k)
            styles = bench.edit(w[n].expand(positions, -1), column, asked[k])
            images = each(bench.synthesize, styles, protocol.batch)
            scores[n, k] = array(bench.judge(images))[:, k]
            steps[n, k] = 1 - array(ssim(images[1:], images[:-1]))
    return {"scores": scores, "steps": steps}


@torch.inference_mode()
def overwrite(bench: Bench, w: Tensor, protocol: Protocol, targets: NDArray) -> Arrays:
    """Attributes set to a value as the method is meant to be used: no calibration, one image an edit.

    Arguments:
        bench: the networks.
        w: the styles ``[N, w_dim]``.
        protocol: scales of the labeler, the size of batches.
        targets: a low and a high value of each column of the labeler, ``[2, K]``; the one
            beyond their middle, seen from the original, is asked for.

    Returns:
        Arrays ``[N, K, …]``: ``direction`` and what :meth:`Bench.compare` gives.
    """
    w = w.to(bench.device)
    originals = bench.look(w, protocol.batch)
    low, high = torch.from_numpy(targets).double()
    toward = torch.where(originals.labels < (low + high) / 2, 1.0, -1.0).double()
    strength = (torch.where(toward > 0, high, low) - originals.labels) / torch.tensor(protocol.sigma).double()
    count, columns = strength.shape
    found = []
    for rows in torch.arange(count * columns).split(protocol.batch):
        face, column = rows // columns, rows % columns
        images = bench.synthesize(bench.edit(w[face], column, strength.flatten()[rows]))
        found.append(bench.compare(images, face, originals))
    arrays = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return {
        "direction": array(toward),
        **{name: values.reshape(count, columns, *values.shape[1:]) for name, values in arrays.items()},
    }


@torch.inference_mode()
def sequence(bench: Bench, w: Tensor, protocol: Protocol, order: Sequence[int], delta: float) -> Arrays:
    """Edits one after the other, each matched on what the ones before it have made.

    Arguments:
        bench: the networks.
        w: the styles ``[N, w_dim]``.
        protocol: scales of the labeler, tolerance, the size of batches.
        order: the P attributes, as places of columns.
        delta: the move of each edit in σ of the labeler, to the other side of the original.

    Returns:
        Arrays ``[N, P, …]``, after each step, compared with the originals: ``reached``, ``direction`` and
        what :meth:`Bench.compare` gives; and ``pixels [N, h, w, 3]``, the end of the sequence.
    """
    w = w.to(bench.device)
    originals = bench.look(w, protocol.batch)
    toward = protocol.other_side(originals.labels)
    face, labels, steps = torch.arange(len(w)), originals.labels, []
    images = originals.images
    for k in order:
        search = StrengthSearch(len(w), delta=delta, tolerance=protocol.tolerance)
        column, side = torch.full_like(face, k), toward[:, k]
        found = bench.match(search, w, labels, (column, face, side), originals, protocol)
        w = bench.edit(w, column, search.strength * side * search.reached)  # what failed is left out
        looked = bench.look(w, protocol.batch)
        labels, images = looked.labels, looked.images
        after = bench.compare(images, face, originals)
        steps.append({"reached": found["reached"], "direction": array(side), **after})
    return {name: np.stack([step[name] for step in steps], axis=1) for name in steps[0]} | {
        "pixels": _drawn(images)
    }


TRIALS: dict[str, Callable[..., Arrays]] = {
    "edits": edits,
    "outside": outside,
    "overwrite": overwrite,
    "sequence": sequence,
}


def slider_strengths(found: Arrays, deltas: Sequence[float], delta: float, steps: int) -> NDArray[np.float64]:
    """The strengths ``[K, S]`` at the positions of each slider, ``REACH`` σ to either side.

    Arguments:
        found: what :meth:`Bench.measure` returned. One σ of a slider is the median strength, over the edits
            that reached ``delta``, for each σ of the labeler; where no edit reached it, it is the editor's
            own unit.
        deltas: the moves that were asked.
        delta: the one to calibrate the sliders by.
        steps: positions of each slider.
    """
    at = list(deltas).index(delta)
    strengths = np.where(found["reached"], np.abs(found["strength"]), np.nan)[:, at]  # [N, S, K]
    columns = strengths.reshape(-1, strengths.shape[-1]).T
    typical = [np.nanmedian(column) if not np.isnan(column).all() else delta for column in columns]
    return np.outer(np.array(typical) / delta, np.linspace(-REACH, REACH, steps))


def _largest(found: Arrays) -> NDArray[np.float64]:
    """The strengths ``[N, K]`` of the largest move to the other side; NaN where it was not reached."""
    strength = np.where(found["reached"], found["strength"], np.nan)[:, -1]  # [N, S, K]
    return np.where(found["other"] > 0, strength[:, 0], strength[:, -1])  # of two sides, up is the first


def _drawn(images: Tensor) -> NDArray[np.uint8]:
    """Images ``[N, 3, H, W]`` in [-1, 1] as pixels ``[N, h, w, 3]``, large ones made smaller."""
    if images.shape[-1] > PICTURE:
        images = F.interpolate(images, size=(PICTURE, PICTURE), mode="area")
    return to_pixels(images)
