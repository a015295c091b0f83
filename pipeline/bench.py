"""The bench on which an editor is measured: its networks, loaded once, and what they do with a few latents.

The *labeler* says how far to go, so that editors of any unit are compared at the same move; the *judge*,
trained apart from it, says what has happened. Everything here is one process; :mod:`pipeline.evaluation`
spreads it.
"""

from __future__ import annotations

__all__ = ["REACH", "Bench", "Chunk", "Folders", "Protocol", "slider_strengths"]

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
from pipeline.metrics.image import distances
from pipeline.metrics.matching import StrengthSearch, directions

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

    Images stay on the device, and no more of them than the originals of a call and a few batches: each is
    looked at when it is made.

    Raises:
        PipelineError: when a network is missing or damaged, or the editor does not fit the generator or the
            attributes.
    """

    def __init__(self, folders: Folders, device: str = "cpu") -> None:
        self.device = device
        generator = load_generator(folders.generator, device=device)
        self.w_dim, self.synthesize = generator.w_dim, generator.prepare()
        self.editor = load_editor(folders.editor).to(device).eval()
        self.labeler = load_labeler(folders.labeler, folders.attributes, device=device)
        self.judge = load_labeler(folders.judge, folders.attributes, device=device)
        self.identity = load_embedder(folders.identity, device=device)
        self.columns = self.labeler.columns
        self._check(folders)

    def _check(self, folders: Folders) -> None:
        """Refuse networks that do not belong together."""
        if self.editor.w_dim != self.w_dim:
            raise PipelineError(
                f"expected an editor of style vectors of width {self.w_dim}, got "
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
            ``strength`` (signed), ``labeler_move`` (toward the asked side, in σ), ``reached``,
            ``evaluations`` (images it took), ``identity``, ``rmse``, ``psnr``, ``ssim``, ``after [N, K, K]``
            (the judge on the edited images).
        """
        w, batch = w.to(self.device), protocol.batch
        originals = self._each(self.synthesize, w, batch)
        labels, before, known = (
            self._each(look, originals, batch) for look in (self.labeler, self.judge, self.identity)
        )
        edits = self._matched(w, originals, labels.double().cpu(), known, protocol)
        return {
            "before": _array(before),
            **{f"reconstruction_{k}": v for k, v in self._reconstructed(w, originals, batch).items()},
            **{k: v.reshape(-1, len(w), *v.shape[1:]).swapaxes(0, 1) for k, v in edits.items()},
        }

    def _matched(
        self, w: Tensor, originals: Tensor, labels: Tensor, known: Tensor, protocol: Protocol
    ) -> Arrays:
        """Find every strength, and look at each edit when its search ends.

        All edits are one pool, attribute by attribute: the first ones that are still on their way, whatever
        their step, make the next batch.

        Arguments:
            w: the styles ``[N, w_dim]``.
            originals: their images.
            labels: the labeler on them, ``[N, K]``, float64 on the CPU, where the search is.
            known: their identities ``[N, E]``.
            protocol: what is asked.

        Returns:
            The arrays of :meth:`measure` for edits, with K·N rows.
        """
        sigma, low, high = (torch.tensor(x).double() for x in (protocol.sigma, protocol.low, protocol.high))
        toward, before = (x.T.flatten() for x in (directions(labels, low, high), labels))
        search = StrengthSearch(len(toward), delta=protocol.delta, tolerance=protocol.tolerance)
        ends, looks = [], []
        while len(rows := search.waiting[: protocol.batch]):
            column, face = rows // len(w), rows % len(w)
            images = self.synthesize(self._edit(w[face], column, search.strength[rows] * toward[rows]))
            scores = self.labeler(images).double().cpu().gather(1, column[:, None])[:, 0]
            ended = search.tell(rows, toward[rows] * (scores - before[rows]) / sigma[column])
            if ended.any():
                ends.append(rows[ended])
                looks.append(self._look(images[ended], originals[face[ended]], known[face[ended]]))
        order = torch.cat(ends).argsort().numpy()
        found = {
            "direction": toward,
            "strength": search.strength * toward,
            "labeler_move": search.move,
            "reached": search.reached,
            "evaluations": search.evaluations,
        }
        return {name: _array(values) for name, values in found.items()} | {
            name: np.concatenate([look[name] for look in looks])[order] for name in looks[0]
        }

    def _look(self, edited: Tensor, originals: Tensor, known: Tensor) -> Arrays:
        """What is measured of edited images, a row for each: ``after``, ``identity`` and the distances."""
        seen = self.identity(edited)
        return {
            "after": _array(self.judge(edited)),
            "identity": identity_similarity(known.cpu().numpy(), seen.cpu().numpy()),
            **{name: _array(values) for name, values in distances(originals, edited).items()},
        }

    def _reconstructed(self, w: Tensor, originals: Tensor, batch: int) -> Arrays:
        """The distances of the reconstructions from their originals, ``[N]`` each."""
        found = []
        for styles, images in zip(w.split(batch), originals.split(batch), strict=True):
            again, others = self.editor.decode(self.editor.encode(styles)), images.clone()
            changed = (again != styles).any(dim=1)  # some editors reconstruct exactly
            if changed.any():
                others[changed] = self.synthesize(again[changed])
            found.append(distances(images, others))
        return {name: _array(torch.cat([part[name] for part in found])) for name in found[0]}

    @torch.inference_mode()
    def sweep(self, w: Tensor, strengths: NDArray[np.float64], batch: int) -> Arrays:
        """Every face ``w [F, w_dim]`` with each attribute at each of its ``strengths [K, S]``.

        Returns:
            ``original [F, h, w, 3]`` and ``frames [F, K, S, h, w, 3]``, uint8, and what the judge sees in
            each frame, raw, ``seen [F, K, S, K]``.
        """
        w, asked = w.to(self.device), torch.from_numpy(strengths.reshape(-1))
        # At strength 0 it does not matter which attribute: one picture of a face is drawn for all of them.
        unmoved, position = asked == 0, torch.arange(len(asked))
        drawn, shown = position.where(~unmoved, unmoved.int().argmax()).unique(return_inverse=True)
        frames, seen = [], []
        for rows in torch.arange(len(w) * len(drawn)).split(batch):
            face, at = rows // len(drawn), drawn[rows % len(drawn)]
            images = self.synthesize(self._edit(w[face], at // strengths.shape[1], asked[at]))
            frames.append(_uint8(images))
            seen.append(_array(self.judge(images)))

        def every(parts: list[NDArray]) -> NDArray:
            """Rows of drawn pictures as ``[F, K, S, …]``."""
            values = np.concatenate(parts)
            values = values.reshape(len(w), len(drawn), *values.shape[1:])[:, shown.numpy()]
            return values.reshape(len(w), *strengths.shape, *values.shape[2:])

        originals = [_uint8(self.synthesize(part)) for part in w.split(batch)]
        return {"original": np.concatenate(originals), "frames": every(frames), "seen": every(seen)}

    def _edit(self, w: Tensor, column: Tensor, strength: Tensor) -> Tensor:
        """Each row of ``w`` with its own attribute moved."""
        edited = w.clone()
        for k in column.unique().tolist():
            rows = column == k
            edited[rows] = self.editor.edit(w[rows], self.columns[k], strength[rows].to(w))
        return edited

    @staticmethod
    def _each(network: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
        """The outputs of a network, a batch at a time."""
        return torch.cat([network(part) for part in inputs.split(batch)])


class Chunk:
    """A worker: loads the networks once and measures a chunk of latents at a time.

    A chunk is ``w [N, w_dim]`` and ``faces``: how many of its first latents are drawn under every slider. (It
    stands here because a worker then imports nothing that draws charts, which takes half a second.)
    """

    def __init__(self, folders: Folders, protocol: Protocol, steps: int, device: str) -> None:
        self.bench, self.protocol, self.steps = Bench(folders, device), protocol, steps

    def __call__(self, chunk: Mapping[str, Any]) -> Arrays:
        """The arrays of ``Bench.measure``, and of ``Bench.sweep`` with ``swept_`` before their names."""
        w, faces = torch.from_numpy(chunk["w"]), chunk["faces"]
        arrays = self.bench.measure(w, self.protocol)
        if faces:
            strengths = slider_strengths(arrays, self.protocol.delta, self.steps)
            arrays |= {
                f"swept_{k}": v
                for k, v in self.bench.sweep(w[:faces], strengths, self.protocol.batch).items()
            }
        return arrays


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
