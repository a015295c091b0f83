"""The bench on a linear world, where every number is known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pipeline import bench as module
from pipeline.attributes import Attribute
from pipeline.bench import REACH, Bench, Folders, Protocol, slider_strengths
from pipeline.errors import PipelineError
from pipeline.metrics.summary import Measured, edits_table, summarise

SIDE, WIDTH = 12, 6
ATTRIBUTES = (Attribute(name="gender", kind="binary"), Attribute(name="age"), Attribute(name="smile"))
NAMES = tuple(a.name for a in ATTRIBUTES)


class LinearGenerator(nn.Module):
    """Coordinate i of w is the brightness of row 2 i and 2 i + 1 of the image."""

    w_dim = WIDTH

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


class Mover(nn.Module):
    """Moves the coordinate of an attribute by twice the strength, and drags the next one along."""

    w_dim, columns = WIDTH, NAMES

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


def make(monkeypatch, editor, judge=None):
    monkeypatch.setattr(module, "load_generator", lambda folder, device: LinearGenerator())
    monkeypatch.setattr(module, "load_editor", lambda folder: editor)
    networks = {"labeler": Reader(), "judge": judge or Reader(gain=3.0)}
    monkeypatch.setattr(module, "load_labeler", lambda folder, attributes, device: networks[folder])
    monkeypatch.setattr(module, "load_embedder", lambda folder, device: Person())
    places = {name: name for name in ("generator", "labeler", "judge", "identity", "editor")}
    return Bench(Folders(**places, attributes=NAMES))


PROTOCOL = Protocol(
    delta=1.0, tolerance=0.02, sigma=(1.0, 1.0, 1.0), low=(-2.0,) * 3, high=(2.0,) * 3, batch=5
)


@pytest.fixture
def w():
    return torch.randn(24, WIDTH, generator=torch.Generator().manual_seed(0))


def measured(arrays, count):
    return Measured(np.arange(count), NAMES, frozenset({"gender"}), arrays, 1.0)


def test_a_perfect_editor_gets_perfect_marks(monkeypatch, w):
    found = make(monkeypatch, Mover()).measure(w, PROTOCOL)
    assert found["reached"].all()
    np.testing.assert_allclose(np.abs(found["strength"]), 0.5, atol=0.02)
    np.testing.assert_allclose(found["identity"], 1, atol=1e-6)
    np.testing.assert_allclose(found["reconstruction_rmse"], 0, atol=1e-7)
    metrics = summarise(measured(found, 24), resamples=50, seed=0)
    assert metrics["success"] == 1 and metrics["unreached"] == 0
    assert metrics["dependency"] == pytest.approx(0, abs=1e-5)


def test_edits_go_toward_the_other_side(monkeypatch, w):
    found = make(monkeypatch, Mover()).measure(w, PROTOCOL)
    assert np.array_equal(found["direction"], np.where(w[:, :3].numpy() < 0, 1, -1))
    assert np.array_equal(np.sign(found["strength"]), found["direction"])


def test_what_leaks_into_another_attribute_is_counted_in_sigma_of_the_judge(monkeypatch, w):
    found = measured(make(monkeypatch, Mover(leak=0.5)).measure(w, PROTOCOL), 24)
    sigma = w[:, :3].double().std(dim=0, correction=0).numpy()
    np.testing.assert_allclose(found.judge_sigma, 3 * sigma, rtol=1e-5)
    expected = (
        np.roll(0.5 / sigma, -1) / 2
    )  # the next column moves by half of the labeler's σ; two columns are not asked
    np.testing.assert_allclose(found.scores()["dependency"].mean(axis=0), expected, rtol=0.02)
    matrix = found.rescoring()
    np.testing.assert_allclose([matrix[0, 1], matrix[0, 2]], [0.5 / sigma[1], 0], atol=0.02)


def test_an_editor_that_does_nothing_reaches_nothing_and_fails(monkeypatch, w):
    found = measured(make(monkeypatch, Mover(gain=0.0)).measure(w, PROTOCOL), 24)
    metrics = summarise(found, resamples=50, seed=0)
    assert metrics["success"] == 0 and metrics["unreached"] == 1
    assert "dependency" not in metrics
    assert np.isnan(found.rescoring()).all()


def test_a_judge_that_sees_the_opposite_calls_it_a_failure(monkeypatch, w):
    found = measured(make(monkeypatch, Mover(), judge=Reader(gain=-1.0)).measure(w, PROTOCOL), 24)
    assert found.scores()["success"].sum() == 0


def test_chunks_do_not_change_the_numbers(monkeypatch, w):
    bench = make(monkeypatch, Mover(leak=0.3))
    whole, parts = bench.measure(w, PROTOCOL), [bench.measure(part, PROTOCOL) for part in w.split(7)]
    for name, values in whole.items():
        np.testing.assert_allclose(np.concatenate([part[name] for part in parts]), values, atol=1e-5)


def test_sliders_are_calibrated_by_what_the_labeler_saw(monkeypatch, w):
    bench = make(monkeypatch, Mover())
    strengths = slider_strengths(bench.measure(w, PROTOCOL), 1.0, 5)
    np.testing.assert_allclose(strengths, np.tile(np.linspace(-REACH, REACH, 5) / 2, (3, 1)), atol=0.05)
    swept = bench.sweep(w[:2], strengths, batch=5)
    assert swept["original"].shape == (2, SIDE, SIDE, 3) and swept["frames"].shape == (2, 3, 5, SIDE, SIDE, 3)
    np.testing.assert_allclose(
        swept["seen"][:, 1, :, 1] / 3, w[:2, 1:2].numpy() + 2 * strengths[1], atol=1e-4
    )
    assert np.array_equal(swept["frames"][:, 2, 2], swept["original"])


def counted(bench):
    """Rows of every batch that is synthesized from now on."""
    batches, synthesize = [], bench.synthesize
    bench.synthesize = lambda w: (batches.append(len(w)), synthesize(w))[1]
    return batches


def test_every_image_is_made_once(monkeypatch, w):
    bench = make(monkeypatch, Mover())
    batches = counted(bench)
    found = bench.measure(w, PROTOCOL)
    assert sum(batches) == len(w) + found["evaluations"].sum()  # this editor reconstructs exactly


def test_batches_are_full_while_edits_wait(monkeypatch, w):
    bench = make(monkeypatch, Mover(gain=0.9))
    batches = counted(bench)
    bench.measure(w, PROTOCOL)
    assert max(batches) == PROTOCOL.batch
    assert sum(size < PROTOCOL.batch for size in batches) <= 3  # the ends of the originals and of the search


def test_the_unmoved_face_is_drawn_once(monkeypatch, w):
    bench = make(monkeypatch, Mover())
    batches = counted(bench)
    bench.sweep(w[:2], np.outer(np.ones(3), np.linspace(-1, 1, 5)), batch=5)
    assert sum(batches) == 2 * (1 + 1 + 3 * 4)


def test_a_sweep_may_leave_out_the_unmoved_face(monkeypatch, w):
    swept = make(monkeypatch, Mover()).sweep(w[:2], np.array([[-1.0, 1.0]] * 3), batch=5)
    np.testing.assert_allclose(
        swept["seen"][:, 2, :, 2] / 3, w[:2, 2:3].numpy() + np.array([-2.0, 2.0]), atol=1e-4
    )


def test_the_table_has_one_row_for_each_latent_and_attribute(monkeypatch, w):
    table = edits_table(measured(make(monkeypatch, Mover()).measure(w, PROTOCOL), 24))
    assert table.num_rows == 24 * 3
    assert table["attribute"].to_pylist()[:4] == ["gender", "age", "smile", "gender"]
    assert table["id"].to_pylist()[:4] == [0, 0, 0, 1]


def test_flips_are_for_binary_attributes_alone(monkeypatch, w):
    flips = measured(make(monkeypatch, Mover()).measure(w, PROTOCOL), 24).scores()["flipped"]
    start = np.abs(w[:, 0].numpy())
    assert np.array_equal(flips[start < 0.9, 0], np.ones((start < 0.9).sum()))
    assert np.isnan(flips[:, 1:]).all()


def test_an_editor_of_another_width_is_refused(monkeypatch):
    editor = Mover()
    editor.w_dim = 8
    with pytest.raises(PipelineError, match="width 6, got 8"):
        make(monkeypatch, editor)


def test_an_editor_of_other_attributes_is_refused(monkeypatch):
    editor = Mover()
    editor.columns = ("gender", "age")
    with pytest.raises(PipelineError, match="the editor"):
        make(monkeypatch, editor)
