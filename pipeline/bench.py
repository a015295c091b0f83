"""The bench on which an editor is measured: its networks, loaded once, and what they do with a few latents.

The *labeler* says how far to go, so that editors of any unit are compared at the same move; the *judge*,
trained apart from it, says what has happened. Everything here is one process; :mod:`pipeline.evaluation`
spreads it.
"""

from __future__ import annotations

__all__ = ["REACH", "Bench", "Folders", "Protocol", "slider_strengths"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pipeline.editors import load_editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_embedder, load_labeler
from pipeline.metrics.editing import identity_similarity
from pipeline.metrics.image import psnr, rmse, ssim
from pipeline.metrics.matching import directions, match_strength

Arrays = dict[str, NDArray]

REACH = 2.5
"""How far the sliders of the pictures go to either side, in σ."""

PICTURE = 256
"""Pictures are drawn at the generator's resolution, but at most this many pixels wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the networks are, and the attributes to edit, in the order of the columns."""

    generator: str
    labeler: str
    judge: str
    identity: str
    editor: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is asked of every edit.

    Attributes:
        delta: the move of the labeler that each edit is matched to, in ``sigma``.
        tolerance: how exactly, in the same unit.
        sigma: standard deviation of each column of the labeler over the training split, ``[K]``.
        low: the first percentile of each column over the training split, ``[K]``.
        high: the last one.
        batch: images that go through the networks at once.
    """

    delta: float
    tolerance: float
    sigma: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    batch: int


class Bench:
    """An editor, the generator it was trained for, and the three networks that look at the result.

    Raises:
        PipelineError: when a network is missing or damaged, or the editor does not fit the generator or the
            attributes.
    """

    def __init__(self, folders: Folders, device: str = "cpu") -> None:
        self.device = device
        self.generator = load_generator(folders.generator, device=device)
        self.editor = load_editor(folders.editor).to(device).eval()
        self.labeler = load_labeler(folders.labeler, folders.attributes, device=device)
        self.judge = load_labeler(folders.judge, folders.attributes, device=device)
        self.identity = load_embedder(folders.identity, device=device)
        self.columns = self.labeler.columns
        self._check(folders)

    def _check(self, folders: Folders) -> None:
        """Refuse networks that do not belong together."""
        if self.editor.w_dim != self.generator.w_dim:
            raise PipelineError(
                f"expected an editor of style vectors of width {self.generator.w_dim}, got "
                f"{self.editor.w_dim}, in {folders.editor}: train it on this generator"
            )
        for what, columns in (("the judge", self.judge.columns), ("the editor", self.editor.columns)):
            if tuple(columns) != tuple(self.columns):
                raise PipelineError(
                    f"expected the columns {list(self.columns)} of the labeler, got {list(columns)} of "
                    f"{what}: correct labeler.attributes and train again"
                )

    @torch.inference_mode()
    def measure(self, w: Tensor, protocol: Protocol) -> Arrays:
        """Reconstruct and edit ``w [N, w_dim]``.

        Returns:
            Arrays with N rows (``reconstruction_rmse``, ``_psnr``, ``_ssim``, ``before [N, K]``: the judge on
            the originals) and arrays with N rows and K columns, one for each edited attribute: ``direction``,
            ``strength`` (signed), ``labeler_move`` (toward the asked side, in σ), ``reached``, ``identity``,
            ``rmse``, ``psnr``, ``ssim``, ``after [N, K, K]`` (the judge on the edited images).
        """
        w = w.to(self.device)
        originals = self.images(w, protocol.batch)
        labels = self._each(self.labeler, originals, protocol.batch).double()
        sigma, low, high = (
            torch.tensor(x, dtype=torch.float64, device=self.device) for x in self._scales(protocol)
        )
        toward = directions(labels, low, high)
        count, columns = labels.shape
        edited = originals.repeat_interleave(columns, dim=0)

        def move(rows: Tensor, strength: Tensor) -> Tensor:
            rows, strength = rows.to(self.device), strength.to(self.device)
            row, column = rows // columns, rows % columns
            edited[rows] = self.images(
                self._edit(w[row], column, strength * toward[row, column]), protocol.batch
            )
            scores = (
                self._each(self.labeler, edited[rows], protocol.batch)
                .double()
                .gather(1, column[:, None])[:, 0]
            )
            return (toward[row, column] * (scores - labels[row, column]) / sigma[column]).cpu()

        found = match_strength(move, count * columns, delta=protocol.delta, tolerance=protocol.tolerance)
        shape = (count, columns)
        pairs = {
            "direction": toward,
            "strength": found.strength.reshape(shape) * toward.cpu(),
            "labeler_move": found.move.reshape(shape),
            "reached": found.reached.reshape(shape),
            **self._distances("", originals.repeat_interleave(columns, dim=0), edited, shape),
            **self._distances(
                "reconstruction_", originals, self.images(self._reconstruct(w), protocol.batch), (count,)
            ),
            "before": self._each(self.judge, originals, protocol.batch),
            "after": self._each(self.judge, edited, protocol.batch).reshape(count, columns, columns),
        }
        known, seen = (
            self._each(self.identity, x, protocol.batch).cpu().numpy() for x in (originals, edited)
        )
        return {
            **{name: _array(values) for name, values in pairs.items()},
            "identity": identity_similarity(known.repeat(columns, axis=0), seen).reshape(shape),
        }

    @torch.inference_mode()
    def sweep(self, w: Tensor, strengths: NDArray[np.float64], batch: int) -> Arrays:
        """Every face ``w [F, w_dim]`` with each attribute at each of its ``strengths [K, S]``.

        Returns:
            ``original [F, h, w, 3]`` and ``frames [F, K, S, h, w, 3]``, uint8, and what the judge sees in
            each frame, raw, ``seen [F, K, S, K]``.
        """
        (columns, steps), faces = strengths.shape, len(w)
        w = w.to(self.device)
        column = torch.arange(columns, device=self.device).repeat_interleave(steps).repeat(faces)
        asked = torch.as_tensor(strengths.reshape(-1), device=self.device).repeat(faces)
        images = self.images(self._edit(w.repeat_interleave(columns * steps, dim=0), column, asked), batch)
        original, frames = _uint8(self.images(w, batch)), _uint8(images)
        return {
            "original": original,
            "frames": frames.reshape(faces, columns, steps, *frames.shape[1:]),
            "seen": _array(self._each(self.judge, images, batch)).reshape(faces, columns, steps, columns),
        }

    def images(self, w: Tensor, batch: int) -> Tensor:
        """Images ``[N, 3, H, W]`` of style vectors ``[N, w_dim]``."""
        return self._each(self.generator.synthesize, w, batch)

    def _reconstruct(self, w: Tensor) -> Tensor:
        return self.editor.decode(self.editor.encode(w))

    def _edit(self, w: Tensor, column: Tensor, strength: Tensor) -> Tensor:
        """Each row of ``w`` with its own attribute moved."""
        edited = w.clone()
        for k in column.unique().tolist():
            rows = column == k
            edited[rows] = self.editor.edit(w[rows], self.columns[k], strength[rows].to(w.dtype))
        return edited

    def _distances(self, prefix: str, a: Tensor, b: Tensor, shape: tuple[int, ...]) -> dict[str, Tensor]:
        return {f"{prefix}{metric.__name__}": metric(a, b).reshape(shape) for metric in (rmse, psnr, ssim)}

    @staticmethod
    def _scales(protocol: Protocol) -> tuple[tuple[float, ...], ...]:
        return protocol.sigma, protocol.low, protocol.high

    @staticmethod
    def _each(network: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        """The outputs of a network, a batch at a time: memory does not grow with the number of rows."""
        return torch.cat([network(part) for part in inputs.split(batch)])


def slider_strengths(found: Arrays, delta: float, steps: int) -> NDArray[np.float64]:
    """The strengths ``[K, S]`` at the positions of each slider, ``REACH`` σ to either side.

    Arguments:
        found: what :meth:`Bench.measure` returned. One σ of a slider is the median strength, over the edits
            that reached ``delta``, for each σ of the labeler; where no edit reached it, it is the editor's
            own unit.
        delta: the asked move.
        steps: positions of each slider.
    """
    strengths = np.where(found["reached"], np.abs(found["strength"]), np.nan)
    typical = [np.nanmedian(column) if not np.isnan(column).all() else delta for column in strengths.T]
    return np.outer(np.array(typical) / delta, np.linspace(-REACH, REACH, steps))


def _array(values: Tensor) -> NDArray:
    array: NDArray = values.cpu().numpy()
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _uint8(images: Tensor) -> NDArray[np.uint8]:
    """Images ``[N, 3, H, W]`` in [-1, 1] as pixels ``[N, h, w, 3]``, large ones made smaller."""
    if images.shape[-1] > PICTURE:
        images = F.interpolate(images, size=(PICTURE, PICTURE), mode="area")
    pixels: NDArray[np.uint8] = (
        ((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    )
    return pixels
