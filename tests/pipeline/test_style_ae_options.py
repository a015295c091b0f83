"""What StyleAE can be trained with beside its default: normal scores, balanced draws, decorrelated codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.editors import load_editor, save_editor
from pipeline.editors.balance import balanced
from pipeline.editors.losses import decorrelation_loss
from pipeline.editors.settings import StyleAEParams
from pipeline.editors.style_ae import StyleAE
from pipeline.loop import Loop
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

SMALL = {"rank": 6, "width": 32, "probe_epochs": 3, "epochs": 3, "batch_size": 50}


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 400)


def build(data, **settings):
    asked, context = StyleAEParams(**SMALL | settings), fake_context(FakeGenerator())
    editor = StyleAE.build(asked, data, context, seed=0)
    return editor, editor.objective(asked, context), asked


def trained(data, **settings):
    editor, objective, asked = build(data, **settings)
    loop = Loop(objective, objective, asked, data, data, seed=0)
    while not loop.finished:
        loop.run_epoch()
    return editor.requires_grad_(False), loop


def test_gaussian_labels_are_normal_scores_of_ranks(data):
    editor, objective, _ = build(data, labels="gaussian")
    skewed = data.attrs.exp()
    scores = build(data.__class__(data.w, skewed, data.columns), labels="gaussian")[0].normalise(skewed)
    for column, label in zip(scores.T.numpy(), data.attrs.T.numpy(), strict=True):
        expected = stats.norm.ppf((stats.rankdata(label) - 0.5) / len(label))
        inner = np.abs(expected) < 1.5
        np.testing.assert_allclose(column[inner], expected[inner], atol=0.1)
    targets = objective.rows(data)["attrs"]
    torch.testing.assert_close(targets, editor.normalise(data.attrs))


def test_an_editor_of_gaussian_labels_is_saved_whole(data, tmp_path):
    editor, _ = trained(data, labels="gaussian")
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    torch.testing.assert_close(loaded.normalise(data.attrs), editor.normalise(data.attrs))
    torch.testing.assert_close(loaded.edit(data.w, "age", 2.5), editor.edit(data.w, "age", 2.5))


def test_balanced_training_sees_the_balanced_draw(data):
    editor, objective, _ = build(data, balance=True)
    drawn = balanced(data, editor.normalise(data.attrs))
    rows = objective.rows(data)
    torch.testing.assert_close(rows["y"], editor.coordinates(drawn.w))
    torch.testing.assert_close(rows["attrs"], editor.normalise(drawn.attrs))
    plain = build(data)[0]
    torch.testing.assert_close(editor.attr_mean, plain.attr_mean)  # the unit of strength stays
    assert not torch.equal(editor.readers.skip, plain.readers.skip)  # probes see the draw, too


def test_decorrelated_codes_are_less_correlated(data):
    found = []
    for weight in (0.0, 30.0):
        editor, loop = trained(data, decorrelation_weight=weight, learning_rate=3e-3)
        found.append(float(decorrelation_loss(editor.encode(data.w), len(data.columns))))
        assert ("decorrelation" in loop.history[-1]) == bool(weight)
    assert found[1] < 0.7 * found[0]
