"""The bench on a linear world, where every number is known beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import PipelineError
from pipeline.metrics.summary import HEADLINE, edits_table, summarise
from tests.linear_world import GAIN, NAMES, PROTOCOL, Mover, Reader, make_bench, measured, styles

SEVERAL = replace(PROTOCOL, deltas=(0.5, 1.0, 1.5), sides="both")


@pytest.fixture
def w():
    return styles()


@pytest.fixture
def several(monkeypatch, w):
    """Three moves to both sides by a perfect editor."""
    return make_bench(monkeypatch, Mover()).measure(w, SEVERAL)


def only(values):
    """The arrays of one move to one side, ``[N, K, …]``."""
    assert values.shape[1:3] == (1, 1)
    return values[:, 0, 0]


def test_a_perfect_editor_gets_perfect_marks(monkeypatch, w):
    found = make_bench(monkeypatch, Mover()).measure(w, PROTOCOL)
    assert found["reached"].all() and found["posed"].all()
    np.testing.assert_allclose(np.abs(found["strength"]), 0.5, atol=0.02)
    np.testing.assert_allclose(found["identity"], 1, atol=1e-6)
    np.testing.assert_allclose(found["reconstruction_rmse"], 0, atol=1e-7)
    metrics = summarise(measured(found), 1.0, resamples=50, seed=0)
    assert metrics["success"] == 1 and metrics["unreached"] == 0
    assert metrics["dependency"] == pytest.approx(0, abs=1e-5)
    assert metrics["edits"] == 24 * 3


def test_the_originals_are_looked_at(monkeypatch, w):
    found = make_bench(monkeypatch, Mover()).measure(w, PROTOCOL)
    np.testing.assert_allclose(found["labels"], w[:, :3], atol=1e-5)
    np.testing.assert_allclose(found["before"], GAIN * w[:, :3], atol=1e-5)
    np.testing.assert_allclose(found["code"], w)
    np.testing.assert_allclose(np.linalg.norm(found["known"], axis=1), 1, atol=1e-6)


def test_edits_go_toward_the_other_side(monkeypatch, w):
    found = make_bench(monkeypatch, Mover()).measure(w, PROTOCOL)
    toward = np.where(w[:, :3].numpy() < 0, 1, -1)
    assert np.array_equal(only(found["direction"]), toward) and np.array_equal(found["other"], toward)
    assert np.array_equal(np.sign(found["strength"]), found["direction"])


def test_an_edit_to_either_side_is_posed_where_the_range_has_room(several, w):
    assert several["posed"].shape == (24, 3, 2, 3)
    room = np.stack([2 - w[:, :3], w[:, :3] + 2], axis=1)[:, None]  # [N, 1, S, K]
    assert np.array_equal(several["posed"], room >= np.array(SEVERAL.deltas)[:, None, None])
    assert (several["direction"][:, :, 0] == 1).all() and (several["direction"][:, :, 1] == -1).all()


def test_each_move_has_its_own_strength(several):
    asked = np.array([[0.25], [0.5], [0.75]])[..., None] * several["direction"]
    assert np.array_equal(several["reached"], several["posed"])
    posed = several["posed"]
    np.testing.assert_allclose(several["strength"][posed], asked[posed], atol=0.011)
    after = several["after"][posed][:, 0]
    assert not np.isnan(after).any()


def test_larger_moves_begin_where_smaller_ones_have_ended(several):
    posed = several["posed"][:, 1:]
    evaluations = several["evaluations"][:, 1:][posed]
    assert evaluations.min() == 1 and evaluations.max() <= 2 and evaluations.mean() < 1.5


def test_what_is_not_posed_is_not_tried_and_has_no_number(several):
    absent = ~several["posed"]
    assert absent.any() and not several["evaluations"][absent].any()
    for name in ("after", "identity", "rmse", "psnr", "ssim", "style_distance", "seen"):
        assert np.isnan(several[name][absent]).all(), name
    found = measured(several, SEVERAL.deltas)
    for delta in SEVERAL.deltas:
        for name, values in found.scores(delta).items():
            assert np.isnan(values[~found.at("posed", delta)]).all(), name


def test_curves_have_every_move(several):
    found = measured(several, SEVERAL.deltas)
    metrics = summarise(found, 1.0, resamples=10, seed=0)
    assert list(metrics["curves"]) == ["0.5", "1", "1.5"]
    assert metrics["curves"]["1"] == {name: metrics[name] for name in metrics["curves"]["1"]}
    rmse = [metrics["curves"][delta]["rmse"] for delta in metrics["curves"]]
    np.testing.assert_allclose(rmse, np.array(SEVERAL.deltas) / 20 / np.sqrt(6), rtol=0.05)


def test_style_distance_is_of_the_edited_style(monkeypatch, w):
    found = make_bench(monkeypatch, Mover()).measure(w, PROTOCOL)
    moved = w.numpy()[:, None].repeat(3, axis=1)
    moved[:, range(3), range(3)] += 2 * only(found["strength"])
    np.testing.assert_allclose(only(found["style_distance"]), np.linalg.norm(moved, axis=2), rtol=1e-5)


def test_what_leaks_into_another_attribute_is_counted_in_sigma_of_the_judge(monkeypatch, w):
    found = measured(make_bench(monkeypatch, Mover(leak=0.5)).measure(w, PROTOCOL))
    sigma = w[:, :3].double().std(dim=0, correction=0).numpy()
    np.testing.assert_allclose(found.judge_sigma, GAIN * sigma, rtol=1e-5)
    leaked = np.roll(0.5 / sigma, -1)  # the next column moves by half of the labeler's σ
    scores = found.scores(1.0)
    np.testing.assert_allclose(scores["dependency"].mean(axis=(0, 1)), leaked / 2, rtol=0.02)
    np.testing.assert_allclose(scores["dependency_max"].mean(axis=(0, 1)), leaked, rtol=0.02)
    matrix = found.rescoring(1.0)
    np.testing.assert_allclose([matrix[0, 1], matrix[0, 2]], [0.5 / sigma[1], 0], atol=0.02)


def test_an_editor_that_does_nothing_reaches_nothing_and_fails(monkeypatch, w):
    found = measured(make_bench(monkeypatch, Mover(gain=0.0)).measure(w, SEVERAL), SEVERAL.deltas)
    metrics = summarise(found, 1.0, resamples=50, seed=0)
    assert metrics["success"] == 0 and metrics["unreached"] == 1
    assert "dependency" not in metrics
    assert np.isnan(found.rescoring(1.0)).all()
    assert not found.at("evaluations", 1.5).any()  # the limit was reached before


def test_a_judge_that_sees_the_opposite_calls_it_a_failure(monkeypatch, w):
    found = measured(make_bench(monkeypatch, Mover(), judge=Reader(gain=-1.0)).measure(w, PROTOCOL))
    assert found.scores(1.0)["success"].sum() == 0


def test_chunks_do_not_change_the_numbers(monkeypatch, w):
    bench = make_bench(monkeypatch, Mover(leak=0.3))
    whole, parts = bench.measure(w, SEVERAL), [bench.measure(part, SEVERAL) for part in w.split(7)]
    for name, values in whole.items():
        np.testing.assert_allclose(np.concatenate([part[name] for part in parts]), values, atol=1e-5)


def counted(bench):
    """Rows of every batch that is synthesized from now on."""
    batches, synthesize = [], bench.synthesize
    bench.synthesize = lambda w: (batches.append(len(w)), synthesize(w))[1]
    return batches


def test_every_image_is_made_once(monkeypatch, w):
    bench = make_bench(monkeypatch, Mover())
    batches = counted(bench)
    found = bench.measure(w, SEVERAL)
    assert sum(batches) == len(w) + found["evaluations"].sum()  # this editor reconstructs exactly


def test_batches_are_full_while_edits_wait(monkeypatch, w):
    bench = make_bench(monkeypatch, Mover(gain=0.9))
    batches = counted(bench)
    bench.measure(w, PROTOCOL)
    assert max(batches) == PROTOCOL.batch
    assert sum(size < PROTOCOL.batch for size in batches) <= 3  # the ends of the originals and of the search


def test_the_table_has_one_row_for_each_edit_that_was_posed(monkeypatch, w, several):
    table = edits_table(measured(make_bench(monkeypatch, Mover()).measure(w, PROTOCOL)))
    assert table.num_rows == 24 * 3
    assert table["attribute"].to_pylist()[:4] == ["gender", "age", "smile", "gender"]
    assert table["id"].to_pylist()[:4] == [0, 0, 0, 1]
    table = edits_table(measured(several, SEVERAL.deltas))
    assert table.num_rows == several["posed"].sum()
    assert set(table["delta"].to_pylist()) == set(SEVERAL.deltas)
    assert {*HEADLINE, "reached", "strength", "move_age"} - {"unreached"} <= set(table.column_names)


def test_a_row_of_the_table_is_an_edit(several):
    table = edits_table(measured(several, SEVERAL.deltas)).to_pandas()
    row = table[(table["id"] == 5) & (table["attribute"] == "age") & (table["delta"] == 0.5)]
    assert row["direction"].tolist() == [1, -1]
    assert row["strength"].tolist() == several["strength"][5, 0, :, 1].tolist()
    assert row["identity"].tolist() == several["identity"][5, 0, :, 1].tolist()


def test_flips_are_for_binary_attributes_alone(monkeypatch, w):
    found = measured(make_bench(monkeypatch, Mover()).measure(w, PROTOCOL))
    flips, start = only(found.scores(1.0)["flipped"][:, None]), np.abs(w[:, 0].numpy())
    assert np.array_equal(flips[start < 0.9, 0], np.ones((start < 0.9).sum()))
    assert np.isnan(flips[:, 1:]).all()


def test_an_editor_of_another_width_is_refused(monkeypatch):
    editor = Mover()
    editor.w_dim = 8
    with pytest.raises(PipelineError, match="width 6, got 8"):
        make_bench(monkeypatch, editor)


def test_an_editor_of_other_attributes_is_refused(monkeypatch):
    editor = Mover()
    editor.columns = NAMES[:2]
    with pytest.raises(PipelineError, match="the editor"):
        make_bench(monkeypatch, editor)
