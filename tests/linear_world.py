"""A world in which images show their style vectors and networks read them off: numbers are known beforehand.

``make_bench`` puts an editor on a bench of this world, ``PROTOCOL`` asks for one move to the other side.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from pipeline import bench as module
from pipeline.attributes import Attribute
from pipeline.bench import Bench, Folders
from pipeline.editors import Editor
from pipeline.metrics.realism import Mahalanobis
from pipeline.metrics.summary import Measured
from pipeline.protocol import Protocol

SIDE, WIDTH = 12, 6
ATTRIBUTES = (Attribute(name="gender", kind="binary"), Attribute(name="age"), Attribute(name="smile"))
NAMES = tuple(a.name for a in ATTRIBUTES)
GAIN = 3.0  # what the judge reads for 1 of the labeler
FOLDERS = Folders(
    **{name: name for name in ("generator", "labeler", "judge", "identity", "editor")}, attributes=NAMES
)
PROTOCOL = Protocol(
    deltas=(1.0,),
    sides="other",
    tolerance=0.02,
    sigma=(1.0, 1.0, 1.0),
    low=(-2.0,) * 3,
    high=(2.0,) * 3,
    batch=5,
    manifold=Mahalanobis(np.zeros(WIDTH), np.eye(WIDTH)),  # the length of a style vector
)


class LinearGenerator(nn.Module):
    """Coordinate i of w is the brightness of row 2 i and 2 i + 1 of the image."""

    w_dim, num_ws = WIDTH, 2

    def prepare(self):
        return self.synthesize

    def synthesize(self, w):
        return (w / 20).repeat_interleave(2, dim=1)[:, None, :, None].expand(-1, 3, -1, SIDE).contiguous()


class Reader(nn.Module):
    """Reads coordinate i of w off the image."""

    attributes, columns = ATTRIBUTES, NAMES

    def __init__(self, gain=1.0):
        super().__init__()
        self.gain = gain

    def forward(self, img):
        return 20 * self.gain * img.mean(dim=(1, 3))[:, ::2][:, :3]


class Person(nn.Module):
    """Who it is stands in the last three coordinates."""

    def forward(self, img):
        return nn.functional.normalize(img.mean(dim=(1, 3))[:, 6::2], dim=1)


class Mover(Editor):
    """Moves the coordinate of an attribute by twice the strength, and drags the next one along."""

    w_dim, columns = WIDTH, NAMES
    build = config = from_config = None  # it is neither trained nor saved

    def __init__(self, leak=0.0, gain=2.0):
        super().__init__()
        self.leak, self.gain = leak, gain

    def encode(self, w):
        return w

    def decode(self, code):
        return code

    def edit(self, w, attribute, strength):
        k = self.columns.index(attribute)
        edited = w.clone()
        edited[:, k] += self.gain * strength
        edited[:, (k + 1) % 3] += self.leak * self.gain * strength
        return edited


def fill_world(monkeypatch, editor, judge=None):
    """What a bench loads from now on."""
    monkeypatch.setattr(module, "load_generator", lambda folder, device: LinearGenerator())
    monkeypatch.setattr(module, "load_editor", lambda folder: editor)
    networks = {"labeler": Reader(), "judge": judge or Reader(gain=GAIN)}
    monkeypatch.setattr(module, "load_labeler", lambda folder, attributes, device: networks[folder])
    monkeypatch.setattr(module, "load_embedder", lambda folder, device: Person())


def make_bench(monkeypatch, editor, judge=None):
    """A bench with this editor and judge."""
    fill_world(monkeypatch, editor, judge)
    return Bench(FOLDERS)


def styles(count=24, seed=0):
    """Style vectors ``[N, 6]``."""
    return torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))


def measured(arrays, deltas=PROTOCOL.deltas):
    """What a bench found, with the judge's σ on the originals."""
    before = arrays["before"]
    ids = np.arange(len(before))
    return Measured(ids, NAMES, frozenset({"gender"}), arrays, deltas, before.std(axis=0))
