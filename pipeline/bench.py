"""The bench on which an editor is measured: its networks, loaded once, and what they do with a few latents.

The *labeler* says how far to go, so that editors of any unit are compared at the same move; the *judge*,
trained apart from it, says what has happened. More than single edits is tried in :mod:`pipeline.trials`.
"""

from __future__ import annotations

__all__ = ["Bench", "Folders", "Looked", "array"]

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.editors import Editor, load_editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_embedder, load_labeler, load_perceptual
from pipeline.metrics.editing import identity_similarity
from pipeline.metrics.image import distances, feature_distance
from pipeline.metrics.matching import StrengthSearch
from pipeline.protocol import Protocol

Arrays = dict[str, NDArray]

LOOKS = ("identity", "rmse", "psnr", "ssim", "style_distance", "seen", "after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the networks are, and the attributes to edit, in the order of the columns."""

    generator: str
    labeler: str
    judge: str
    identity: str
    editor: str
    attributes: tuple[str, ...]
    perceptual: str | None = None  # without one there is no LPIPS


@dataclass(frozen=True, slots=True)
class Looked:
    """What the networks say of images.

    Attributes:
        images: ``[N, 3, H, W]``.
        labels: the labeler, ``[N, K]``, float64 on the CPU, where the search is.
        scores: the judge, ``[N, K]``.
        identity: the embeddings ``[N, E]``.
        features: the perceptual network, ``[N, F]``, if there is one.
    """

    images: Tensor
    labels: Tensor
    scores: Tensor
    identity: Tensor
    features: Tensor | None = None


class Bench:
    """An editor, the generator it was trained for, and the three networks that look at the result.

    Images stay on the device, and no more of them than the originals of a call and a few batches: each is
    looked at when it is made.

    Arguments:
        folders: where the networks are.
        device: where they compute.
        editor: an editor in memory, in the place of the one in ``folders.editor``.

    Raises:
        PipelineError: when a network is missing or damaged, or the editor does not fit the generator or the
            attributes.
    """

    def __init__(self, folders: Folders, device: str = "cpu", editor: Editor | None = None) -> None:
        self.device = device
        generator = load_generator(folders.generator, device=device)
        self.w_dim, self.num_ws, self.synthesize = generator.w_dim, generator.num_ws, generator.prepare()
        self.editor = (editor or load_editor(folders.editor)).to(device).eval()
        self.labeler = load_labeler(folders.labeler, folders.attributes, device=device)
        self.judge = load_labeler(folders.judge, folders.attributes, device=device)
        self.identity = load_embedder(folders.identity, device=device)
        self.perceptual = load_perceptual(folders.perceptual, device) if folders.perceptual else None
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

    def edit(self, w: Tensor, column: Tensor, strength: Tensor) -> Tensor:
        """Each row of ``w`` with its own attribute, ``column [N]``, moved by its own ``strength [N]``.

        Styles are ``[N, w_dim]``, or ``[N, num_ws, w_dim]`` where the editor has changed some layers alone.
        """
        return self.editor.edit_rows(w, column, strength, self.num_ws)

    def look(self, w: Tensor, batch: int) -> Looked:
        """Synthesize styles, ``[N, w_dim]`` or ``[N, num_ws, w_dim]``, and look at the images."""
        images = each(self.synthesize, w, batch)
        networks = (self.labeler, self.judge, self.identity, *([self.perceptual] if self.perceptual else []))
        labels, scores, identity, *features = (each(network, images, batch) for network in networks)
        return Looked(images, labels.double().cpu(), scores, identity, *features)

    @torch.inference_mode()
    def measure(self, w: Tensor, protocol: Protocol) -> Arrays:
        """Reconstruct and edit ``w [N, w_dim]``.

        Returns:
            Arrays with N rows: ``reconstruction_rmse``, ``_psnr``, ``_ssim``; of the originals ``labels`` and
            ``before``, labeler and judge, ``[N, K]``, ``known``, their embeddings ``[N, E]``, ``code``, what
            the editor encodes them to, and ``other [N, K]``, where their other sides are. And arrays
            ``[N, D, S, K]`` for D moves to S sides of K attributes: ``direction``, ``posed``, and what
            :meth:`match` gives.
        """
        w = w.to(self.device)
        originals = self.look(w, protocol.batch)
        toward, room = protocol.requests(originals.labels)
        sides, count, columns = toward.shape
        toward, room = (values.transpose(1, 2).flatten() for values in (toward, room))
        at = torch.arange(len(toward))
        column, face = at // count % columns, at % count  # attribute by attribute
        found: list[Arrays] = []
        search: StrengthSearch | None = None
        for delta in protocol.deltas:
            first = StrengthSearch(len(at), delta=delta, tolerance=protocol.tolerance)
            search = search.further(delta) if search else first
            posed = room >= delta
            search.ended |= ~posed
            looks = self.match(search, w, originals.labels, (column, face, toward), originals, protocol)
            found.append(looks | {"direction": array(toward), "posed": array(posed)})

        def ordered(name: str) -> NDArray:
            values = np.stack([arrays[name] for arrays in found])
            values = values.reshape(len(found), sides, columns, count, *values.shape[2:])
            return np.ascontiguousarray(np.moveaxis(values, 3, 0))

        reconstructed = self._reconstructed(w, originals.images, protocol.batch)
        return {
            "labels": array(originals.labels),
            "before": array(originals.scores),
            "known": array(originals.identity),
            "code": array(self.editor.encode(w)),
            "other": array(protocol.other_side(originals.labels)),
            **{f"reconstruction_{name}": values for name, values in reconstructed.items()},
            **{name: ordered(name) for name in found[0]},
        }

    def match(
        self,
        search: StrengthSearch,
        w: Tensor,
        labels: Tensor,
        edits: tuple[Tensor, Tensor, Tensor],
        originals: Looked,
        protocol: Protocol,
    ) -> Arrays:
        """Bring a search to its end, and look at each edit when its own search ends.

        All edits are one pool: the first ones that are still on their way, whatever their step, make the next
        batch.

        Arguments:
            search: over T edits.
            w: the styles that are edited, ``[N, w_dim]`` or ``[N, num_ws, w_dim]``.
            labels: the labeler on them, ``[N, K]``: what moves count from.
            edits: the attribute, the row of w, and the direction of each edit, ``[T]`` each.
            originals: what the edited images are compared with, N rows.
            protocol: scales of the labeler, tolerance, batch.

        Returns:
            Arrays with T rows: ``strength`` (signed), ``labeler_move`` (toward the asked side, in σ),
            ``reached``, ``evaluations`` (images it took), and, NaN where nothing was tried, ``identity``,
            ``rmse``, ``psnr``, ``ssim``, ``lpips`` (with a perceptual network), ``style_distance``,
            ``seen [T, E]``, the embeddings, and ``after [T, K]``, the judge.
        """
        column, face, toward = edits
        sigma = torch.tensor(protocol.sigma).double()
        widths = {"after": labels.shape[1:], "seen": originals.identity.shape[1:]}
        names = (*LOOKS, "lpips") if self.perceptual else LOOKS
        looks = {name: np.full((len(face), *widths.get(name, ())), np.nan) for name in names}
        while len(rows := search.waiting[: protocol.batch]):
            styles = self.edit(w[face[rows]], column[rows], search.strength[rows] * toward[rows])
            images = self.synthesize(styles)
            scores = self.labeler(images).double().cpu().gather(1, column[rows, None])[:, 0]
            moved = toward[rows] * (scores - labels[face[rows], column[rows]]) / sigma[column[rows]]
            ended = search.tell(rows, moved)
            if ended.any():
                seen = self.compare(images[ended], face[rows[ended]], originals)
                seen["style_distance"] = protocol.distance(array(styles[ended]))
                for name, values in seen.items():
                    looks[name][rows[ended].numpy()] = values
        return looks | {
            "strength": array(search.strength * toward),
            "labeler_move": array(search.move),
            "reached": array(search.reached & (search.evaluations > 0)),
            "evaluations": array(search.evaluations),
        }

    def compare(self, images: Tensor, face: Tensor, originals: Looked) -> Arrays:
        """What is measured of edited images against the originals ``face``, a row for each."""
        seen, found = self.identity(images), distances(originals.images[face], images)
        if self.perceptual and originals.features is not None:
            found["lpips"] = feature_distance(originals.features[face], self.perceptual(images))
        return {
            "after": array(self.judge(images)),
            "seen": array(seen),
            "identity": identity_similarity(array(originals.identity[face]), array(seen)),
            **{name: array(values) for name, values in found.items()},
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
        return {name: array(torch.cat([part[name] for part in found])) for name in found[0]}


def each(network: Callable[[Tensor], Tensor], inputs: Tensor, batch: int) -> Tensor:
    """The outputs of a network, a batch at a time."""
    return torch.cat([network(part) for part in inputs.split(batch)])


def array(values: Tensor) -> NDArray:
    """A tensor as an array on the CPU, in float64 if it is floating."""
    found: NDArray = values.cpu().numpy()
    return found.astype(np.float64) if found.dtype.kind == "f" else found
