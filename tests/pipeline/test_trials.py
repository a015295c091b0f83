"""Sliders, overwritten attributes and sequences on a linear world, with numbers known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.metrics.image import ssim
from pipeline.pixels import to_pixels
from pipeline.trials import (
    REACH,
    Chunk,
    edits,
    outside,
    overwrite,
    sequence,
    slide,
    slider_strengths,
    sweep,
)
from tests.linear_world import (
    FOLDERS,
    GAIN,
    PROTOCOL,
    SIDE,
    LinearGenerator,
    Mover,
    fill_world,
    make_bench,
    styles,
)

PIXEL = 20 * np.sqrt(
    6
)  # a coordinate is 2 of 12 rows at a 20th of its value: RMSE of a move of 1 is 1 / PIXEL


@pytest.fixture
def w():
    return styles()


@pytest.fixture
def bench(monkeypatch):
    return make_bench(monkeypatch, Mover())


def images(w):
    """Pictures of style vectors."""
    return to_pixels(LinearGenerator().synthesize(torch.as_tensor(w).float()))


def alike(pictures, others):
    """The same up to rounding."""
    return np.abs(pictures.astype(int) - others).max() <= 1


def test_sliders_are_calibrated_by_what_the_labeler_saw(bench, w):
    strengths = slider_strengths(bench.measure(w, PROTOCOL), (1.0,), 1.0, 5)
    np.testing.assert_allclose(strengths, np.tile(np.linspace(-REACH, REACH, 5) / 2, (3, 1)), atol=0.05)


def test_sliders_are_calibrated_by_one_of_several_moves(bench, w):
    found = bench.measure(w, replace(PROTOCOL, deltas=(0.5, 1.0), sides="both"))
    found["strength"][:, 0] = 100.0
    strengths = slider_strengths(found, (0.5, 1.0), 1.0, 3)
    np.testing.assert_allclose(strengths[:, 2], REACH / 2, atol=0.05)


def test_a_slider_that_reached_nothing_has_the_editors_own_unit(monkeypatch, w):
    found = make_bench(monkeypatch, Mover(gain=0.0)).measure(w, PROTOCOL)
    assert np.array_equal(slider_strengths(found, (1.0,), 1.0, 3), [[-REACH, 0, REACH]] * 3)


def test_a_sweep_draws_and_judges_every_position(bench, w):
    strengths, matched = np.outer(np.ones(3), np.linspace(-1, 1, 5)), np.full((2, 3), 0.5)
    swept = sweep(bench, w[:2], PROTOCOL, strengths, matched)
    assert swept["original"].shape == (2, SIDE, SIDE, 3) and swept["frames"].shape == (2, 3, 5, SIDE, SIDE, 3)
    np.testing.assert_allclose(
        swept["seen"][:, 1, :, 1] / GAIN, w[:2, 1:2].numpy() + 2 * strengths[1], atol=1e-4
    )
    assert np.array_equal(swept["frames"][:, 2, 2], swept["original"])
    moved = w[:2].clone()
    moved[:, 1] += 1.0
    assert np.array_equal(swept["edited"][:, 1], images(moved))


def test_an_edit_that_was_not_reached_is_black(bench, w):
    matched = np.array([[0.5, np.nan, 0.5], [np.nan] * 3])
    drawn = sweep(bench, w[:2], PROTOCOL, np.zeros((3, 1)), matched)["edited"]
    assert np.array_equal(drawn.any(axis=(2, 3, 4)), ~np.isnan(matched))


def test_the_unmoved_face_is_drawn_once(bench, w):
    batches, synthesize = [], bench.synthesize
    bench.synthesize = lambda w: (batches.append(len(w)), synthesize(w))[1]
    sweep(bench, w[:2], PROTOCOL, np.outer(np.ones(3), np.linspace(-1, 1, 5)), np.full((2, 3), np.nan))
    assert sum(batches) == 2 * (1 + 1 + 3 * 4)


def test_a_sweep_may_leave_out_the_unmoved_face(bench, w):
    swept = sweep(bench, w[:2], PROTOCOL, np.array([[-1.0, 1.0]] * 3), np.full((2, 3), np.nan))
    np.testing.assert_allclose(
        swept["seen"][:, 2, :, 2] / GAIN, w[:2, 2:3].numpy() + np.array([-2.0, 2.0]), atol=1e-4
    )


def test_a_slider_is_read_from_end_to_end(bench, w):
    strengths = np.outer([1.0, 0.5, 0.0], np.linspace(-1, 1, 7))
    slid = slide(bench, w[:4], PROTOCOL, strengths)
    expected = GAIN * (w[:4, :3, None].numpy() + 2 * strengths)
    np.testing.assert_allclose(slid["scores"], expected, atol=1e-4)
    np.testing.assert_allclose(slid["steps"][:, 2], 0, atol=1e-12)  # this slider does not move
    moved = w[1].repeat(7, 1)
    moved[:, 0] += 2 * torch.from_numpy(strengths[0])
    pictures = LinearGenerator().synthesize(moved)
    np.testing.assert_allclose(slid["steps"][1, 0], 1 - ssim(pictures[:-1], pictures[1:]), atol=1e-5)


def test_single_edits_come_with_their_sliders(bench, w):
    protocol = replace(PROTOCOL, deltas=(0.5, 1.0), sides="both")
    found = edits(bench, w, protocol, delta=1.0, positions=5, drawn=2, slid=4)
    assert found["swept_frames"].shape[:3] == (2, 3, 5) and found["slid_scores"].shape == (4, 3, 5)
    np.testing.assert_allclose(found["slid_scores"][..., 2], found["before"][:4], atol=1e-4)
    moved = w[:2, None].repeat(1, 3, 1).double()
    moved[:, range(3), range(3)] += torch.from_numpy(
        found["other"][:2]
    )  # the largest move, to the other side
    assert alike(found["swept_edited"], images(moved.reshape(-1, 6)).reshape(2, 3, SIDE, SIDE, 3))
    assert not [
        name for name in edits(bench, w, protocol, 1.0, 5, 0, 0) if name.startswith(("swept", "slid"))
    ]


def test_latents_from_outside_are_moved_once_to_the_other_side(bench, w):
    found = outside(bench, 2 * w, replace(PROTOCOL, deltas=(0.5, 1.0), sides="both"), 1.0)
    assert found["reached"].shape == (24, 1, 1, 3)
    assert np.array_equal(found["direction"][:, 0, 0], np.where(w[:, :3] < 0, 1, -1))


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_an_overwritten_attribute_lands_on_its_value(monkeypatch, w, sigma):
    """Where one unit of an editor is one σ of the labeler."""
    bench = make_bench(monkeypatch, Mover(gain=sigma, leak=0.5))
    targets = np.array([[-1.0, -0.5, -0.2], [1.0, 1.5, 0.1]])
    found = overwrite(bench, w, replace(PROTOCOL, sigma=(sigma,) * 3), targets)
    start, columns = w[:, :3].double().numpy(), np.arange(3)
    below = start < targets.mean(axis=0)
    assert np.array_equal(found["direction"], np.where(below, 1, -1))
    asked = np.where(below, targets[1], targets[0])
    np.testing.assert_allclose(found["after"][:, columns, columns], GAIN * asked, atol=1e-4)
    leaked = np.roll(start, -1, axis=1) + 0.5 * (asked - start)
    np.testing.assert_allclose(found["after"][:, columns, (columns + 1) % 3], GAIN * leaked, atol=1e-4)
    np.testing.assert_allclose(found["identity"], 1, atol=1e-6)
    np.testing.assert_allclose(found["rmse"], np.abs(asked - start) * np.sqrt(1.25) / PIXEL, rtol=1e-4)


def test_edits_follow_each_other(bench, w):
    found = sequence(bench, w, PROTOCOL, order=[2, 0], delta=1.0)
    start = w[:, :3].double().numpy()
    toward = np.where(start < 0, 1, -1)[:, [2, 0]]
    assert found["reached"].all() and np.array_equal(found["direction"], toward)
    after = found["after"] / GAIN  # [N, P, K]
    np.testing.assert_allclose(after[:, 0, 2], start[:, 2] + toward[:, 0], atol=0.021)
    np.testing.assert_allclose(after[:, 0, :2], start[:, :2], atol=1e-4)
    np.testing.assert_allclose(after[:, 1, 2], after[:, 0, 2], atol=1e-4)
    np.testing.assert_allclose(after[:, 1, 0], start[:, 0] + toward[:, 1], atol=0.021)
    np.testing.assert_allclose(after[:, 1, 1], start[:, 1], atol=1e-4)
    np.testing.assert_allclose(found["identity"], 1, atol=1e-6)
    np.testing.assert_allclose(found["rmse"], np.ones((24, 1)) * np.sqrt([1, 2]) / PIXEL, rtol=0.03)
    end = w.clone()
    end[:, :3] = torch.from_numpy(after[:, 1])
    assert alike(found["pixels"], images(end))


def test_each_edit_of_a_sequence_is_matched_on_what_the_ones_before_it_made(monkeypatch, w):
    found = sequence(make_bench(monkeypatch, Mover(leak=0.5)), w, PROTOCOL, order=[0, 1], delta=1.0)
    toward = np.where(w[:, :3].numpy() < 0, 1, -1)
    expected = w[:, 1].numpy() + 0.5 * toward[:, 0] + toward[:, 1]
    np.testing.assert_allclose(found["after"][:, 1, 1] / GAIN, expected, atol=0.031)


def test_an_edit_that_fails_is_left_out_of_a_sequence(monkeypatch, w):
    editor = Mover()
    move = editor.edit
    editor.edit = lambda w, name, strength: move(w, name, strength * (0.01 if name == "age" else 1))
    found = sequence(make_bench(monkeypatch, editor), w, PROTOCOL, order=[0, 1, 2], delta=1.0)
    assert found["reached"].all(axis=0).tolist() == [True, False, True]
    np.testing.assert_allclose(found["after"][:, 1], found["after"][:, 0], atol=1e-5)


def test_a_worker_puts_a_chunk_through_its_trial(monkeypatch, w):
    fill_world(monkeypatch, Mover())
    worker, order = Chunk(FOLDERS, PROTOCOL, "cpu"), [1, 2]
    chunk = {"w": w.numpy(), "trial": "sequence", "group": "sequence 0", "order": order, "delta": 1.0}
    direct = sequence(make_bench(monkeypatch, Mover()), w, PROTOCOL, order, 1.0)
    found = worker(chunk)
    assert all(np.array_equal(found[name], direct[name]) for name in direct)
