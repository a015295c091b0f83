"""Disentangler: labels made Gaussian, components that pass through, and a trained edit that lands."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.editors import EditingData, Objective, editor_class, load_editor, save_editor
from pipeline.editors.disentangler import normal_scores
from pipeline.editors.peer_settings import DisentanglerParams
from pipeline.errors import PipelineError
from pipeline.loop import Loop
from pipeline.sections import SectionError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

SMALL = DisentanglerParams(components=6, layers=3, width=32, epochs=2, batch_size=100)


def build(data, settings=SMALL, seed=0):
    return editor_class("disentangler").build(settings, data, fake_context(FakeGenerator()), seed).eval()


def train(editor, data, val, settings):
    objective = editor.objective(settings, fake_context(FakeGenerator()))
    loop = Loop(objective, objective, settings, data, val, seed=0)
    while not loop.finished:
        loop.run_epoch()
    loop.load_best()
    editor.eval().requires_grad_(False)
    return loop.history


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 600)


@pytest.fixture(scope="module")
def editor(data):
    """One that has seen some training, so that its norms are not those of the start."""
    editor = build(data)
    train(editor, data, data, SMALL)
    return editor


@pytest.fixture(scope="module")
def rotated():
    """Two attributes and three other things, turned around in w; the labels are bent, not Gaussian."""
    random = torch.Generator().manual_seed(0)
    sources = torch.randn(2000, 5, generator=random)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=random)).Q
    labels = torch.stack([sources[:, 0].exp(), -sources[:, 1].sinh()], dim=1)
    return EditingData(sources @ rotation.T * 2 + 1, labels, ("age", "smile")), rotation


@pytest.fixture(scope="module")
def trained(rotated):
    data, _ = rotated
    known, unseen = (
        EditingData(data.w[rows], data.attrs[rows], data.columns) for rows in (slice(1800), slice(1800, None))
    )
    settings = DisentanglerParams(
        components=5,
        layers=3,
        width=64,
        attribute_weight=0.1,
        decorrelation_weight=0.1,
        epochs=25,
        batch_size=100,
        learning_rate=3e-3,
        schedule="cosine",
    )
    editor = build(known, settings)
    return editor, train(editor, known, unseen, settings)


def test_scores_are_normal_whatever_the_labels(rotated):
    data, _ = rotated
    scores = build(data, DisentanglerParams(components=5)).normalise(data.attrs)
    for column, label in zip(scores.T.numpy(), data.attrs.T.numpy(), strict=True):
        expected = stats.norm.ppf((stats.rankdata(label) - 0.5) / len(label))
        inner = np.abs(expected) < 2
        np.testing.assert_allclose(column[inner], expected[inner], atol=0.05)
        assert stats.kstest(column, "norm").pvalue > 0.99
        assert column.std() == pytest.approx(1, abs=0.01)


def test_scores_keep_the_order_and_end_beyond_the_outer_knots():
    knots = torch.tensor([[0.0, 1.0, 1.0, 1.0, 4.0]])
    values = torch.tensor([[-9.0], [0.0], [0.5], [1.0], [2.5], [4.0], [9.0]])
    ranks = torch.tensor([0.0, 0.0, 0.5, 2.0, 3.5, 4.0, 4.0])
    expected = torch.special.ndtri((ranks + 0.5) / 5)
    torch.testing.assert_close(normal_scores(values, knots)[:, 0], expected)


def test_untrained_weights_depend_on_the_seed_alone(data):
    first, again, other = (build(data, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["encoder.0.weight"], other["encoder.0.weight"])


def test_components_are_the_principal_ones():
    w = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)) * torch.arange(8, 0, -1) + 5
    editor = build(EditingData(w, w[:, :2], ("age", "smile")))
    inside, outside = editor.project(w)
    expected = torch.linalg.svdvals((w - w.mean(0)).double()).square() / len(w)
    variances = torch.cat([inside * editor.scale, outside], dim=1).square().mean(dim=0)
    torch.testing.assert_close(variances.double(), expected, rtol=1e-4, atol=0)
    assert inside.square().mean().item() == pytest.approx(1, abs=1e-4)


def test_what_is_not_encoded_passes_through():
    w = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    editor = build(EditingData(w, w[:, :2], ("age", "smile")))
    outside = editor.project(editor.edit(w, "age", 2.0))[1]
    torch.testing.assert_close(outside, editor.project(w)[1], rtol=0, atol=1e-5)


def test_networks_have_the_papers_layers(data):
    paper = DisentanglerParams(components=10)
    editor = build(data, paper)
    for network in (editor.encoder, editor.decoder):
        widths = [(m.in_features, m.out_features) for m in network if isinstance(m, torch.nn.Linear)]
        assert widths == [(10, 512), *[(512, 512)] * 6, (512, 10)]
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm1d) for m in net) for net in (editor.encoder, editor.decoder)
    ]
    assert norms == [8, 7]  # codes are normalised, reconstructions are not
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (150, 256, 2e-4)


def test_training_improves_every_part_of_the_loss(trained):
    _, history = trained
    for part in ("reconstruction", "attributes", "decorrelation"):
        assert history[-1][f"val_{part}"] < 0.5 * history[0][f"val_{part}"], part


def test_a_trained_code_holds_the_attributes_and_is_decorrelated(trained, rotated):
    editor, (data, _) = trained[0], rotated
    code = editor.encode(data.w)
    assert (code[:, :2] - editor.normalise(data.attrs)).square().mean() < 0.02
    correlation = torch.corrcoef(code.T) - torch.eye(5)
    assert correlation.abs().max() < 0.1


def test_a_trained_edit_moves_along_the_known_direction(trained, rotated):
    editor, (data, rotation) = trained[0], rotated
    for k, (name, sign) in enumerate({"age": 1, "smile": -1}.items()):
        for strength in (-1.0, 1.0):
            moved = (editor.edit(data.w, name, strength) - editor.edit(data.w, name, 0.0)).mean(dim=0)
            torch.testing.assert_close(moved / (2 * strength * sign), rotation[:, k], rtol=0, atol=0.15)


def test_strength_zero_reconstructs(trained, rotated):
    editor, (data, _) = trained[0], rotated
    error = (editor.edit(data.w, "age", 0.0) - data.w).square().mean() / data.w.var(dim=0).mean()
    assert error < 0.02


def test_edit_is_an_overwritten_coordinate(editor, data):
    code = editor.encode(data.w)
    code[:, 1] += 0.5
    torch.testing.assert_close(editor.edit(data.w, "age", 0.5), editor.decode(code))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_strengths_may_differ_by_row_and_dtype_is_kept(dtype, editor, data):
    w, strengths = data.w[:4].to(dtype), torch.linspace(-1, 1, 4)
    rows = [editor.edit(w[i : i + 1], "age", float(strengths[i])) for i in range(4)]
    edited = editor.edit(w, "age", strengths)
    assert edited.dtype == editor.encode(w).dtype == editor.decode(w).dtype == dtype
    torch.testing.assert_close(edited, torch.cat(rows), rtol=1e-2, atol=1e-2)


def test_one_row_alone_has_a_finite_loss(data):
    objective = build(data).objective(SMALL, fake_context(FakeGenerator())).eval()
    parts = objective(objective.rows(EditingData(data.w[:1], data.attrs[:1], data.columns)), 1.0)
    assert all(torch.isfinite(value) for value in parts.values())


def test_loss_is_the_weighted_sum_of_its_parts_as_numpy_finds_them(data):
    settings = DisentanglerParams(
        components=6, layers=2, width=16, attribute_weight=0.3, decorrelation_weight=0.7
    )
    editor = build(data, settings)
    objective: Objective = editor.objective(settings, fake_context(FakeGenerator())).eval()
    rows = objective.rows(data)
    with torch.no_grad():
        parts = {name: value.item() for name, value in objective(rows, 0.0).items()}
        code = editor.encode(data.w).numpy()[:, :6]
        y = editor.project(editor.decode(editor.encode(data.w)))[0].numpy()
    off_diagonal = ~np.eye(6, dtype=bool)
    expected = {
        "reconstruction": np.square(y - rows["y"].numpy()).mean(),
        "attributes": np.square(code[:, :3] - rows["attrs"].numpy()).mean(),
        "decorrelation": np.abs(np.corrcoef(code.T))[off_diagonal].mean(),
    }
    assert {name: parts[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    weighted = expected["reconstruction"] + 0.3 * expected["attributes"] + 0.7 * expected["decorrelation"]
    assert parts["loss"] == pytest.approx(weighted, rel=1e-3)


def test_a_training_that_goes_on_ends_as_if_it_had_never_stopped(data):
    def loop():
        objective = build(data).objective(SMALL, fake_context(FakeGenerator()))
        return Loop(objective, objective, SMALL, data, data, seed=0)

    whole, first, second = loop(), loop(), loop()
    whole.run_epoch()
    first.run_epoch()
    second.restore(copy.deepcopy(first.state()))
    whole.run_epoch()
    second.run_epoch()
    expected = whole.objective.editor.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in second.objective.editor.state_dict().items())


def test_save_and_load(editor, data, tmp_path):
    save_editor(editor, tmp_path)
    assert torch.equal(load_editor(tmp_path).edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))


@pytest.mark.parametrize("components", [2, 17])
def test_components_that_do_not_fit_are_refused(components, data):
    with pytest.raises(PipelineError, match="from 3 components"):
        build(data, DisentanglerParams(components=components))


def test_an_attribute_with_one_value_is_refused(data):
    constant = EditingData(data.w, data.attrs * torch.tensor([1.0, 0.0, 1.0]), data.columns)
    with pytest.raises(PipelineError, match="'age', got one value throughout"):
        build(constant)


@pytest.mark.parametrize("name", ["components", "batch_size", "attribute_weight", "learning_rate"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(SectionError, match=name):
        DisentanglerParams(**{name: -1})
