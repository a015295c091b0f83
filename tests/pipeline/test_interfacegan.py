"""InterFaceGAN: the directions that its paper defines, and an edit that lands where it must."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from pipeline.editors import EditingData, editor_class, load_editor, save_editor
from pipeline.editors.settings import InterfaceGANParams
from pipeline.errors import PipelineError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

COLUMNS = ("gender", "age", "smile")


def build(data, **settings):
    settings = InterfaceGANParams(**{"binary": ("gender",), **settings})
    return editor_class("interfacegan").build(settings, data, fake_context(FakeGenerator()), seed=0)


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 600)


@pytest.fixture(scope="module")
def editor(data):
    return build(data)


@pytest.fixture(scope="module")
def linear():
    """Styles whose attributes are known linear functions that are not orthogonal."""
    random = torch.Generator().manual_seed(0)
    w = torch.randn(2000, 5, generator=random)
    readers = torch.tensor([[1.0, 0.5, 0, 0, 0], [0, 1.0, 0.5, 0, 0], [0, 0, 0, 2.0, 0]])
    return EditingData(w, w @ readers.T, COLUMNS), readers


def cosine(a, b):
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def test_svm_normal_is_scikit_learns(data):
    editor = build(data, confident_share=0.25)
    x = (data.w - data.w.mean(0)).double().numpy()
    order = np.argsort(data.attrs[:, 0].numpy())
    rows = np.concatenate([order[:150], order[-150:]])
    scale = np.sqrt(np.square(x).mean())
    expected = (
        LinearSVC(C=1e-3, dual="auto", random_state=0, max_iter=5000)
        .fit(x[rows] / scale, np.repeat([0, 1], 150))
        .coef_[0]
    )
    assert cosine(editor.normals[0].numpy(), expected) == pytest.approx(1, abs=1e-5)


def test_ridge_normal_is_scikit_learns(data):
    editor = build(data, alpha=1.0)
    x = data.w.double().numpy()
    alpha = len(x) * np.square(x - x.mean(0)).mean()
    expected = Ridge(alpha=alpha).fit(x, data.attrs[:, 1].double().numpy()).coef_
    assert cosine(editor.normals[1].numpy(), expected) == pytest.approx(1, abs=1e-4)


def test_normals_have_unit_length(editor):
    torch.testing.assert_close(editor.normals.norm(dim=1), torch.ones(3))


def test_conditional_edit_moves_its_attribute_by_one_sigma_and_no_other(linear):
    data, readers = linear
    editor = build(data, binary=(), conditional=True, alpha=1e-6)
    for k, name in enumerate(COLUMNS):
        change = (editor.edit(data.w, name, 1.0) - data.w) @ readers.T / data.attrs.std(0)
        torch.testing.assert_close(change, torch.eye(3)[k].expand(2000, 3), rtol=0, atol=2e-3)


def test_unconditional_edit_is_along_the_normal(linear):
    data, readers = linear
    editor = build(data, binary=(), conditional=False, alpha=1e-6)
    step = (editor.edit(data.w, "gender", 1.0) - data.w)[0]
    assert cosine(step.numpy(), readers[0].numpy()) == pytest.approx(1, abs=1e-4)


def test_strength_zero_is_the_identity(editor, data):
    assert torch.equal(editor.edit(data.w, "age", 0.0), data.w)


def test_decode_inverts_encode(editor, data):
    torch.testing.assert_close(editor.decode(editor.encode(data.w)), data.w)


def test_edit_is_an_overwritten_coordinate(editor, data):
    code = editor.encode(data.w)
    code[:, 2] += 0.7
    torch.testing.assert_close(editor.decode(code), editor.edit(data.w, "smile", 0.7))


def test_strengths_may_differ_by_row(editor, data):
    strengths = torch.linspace(-1, 1, 4)
    rows = [editor.edit(data.w[i : i + 1], "age", float(strengths[i])) for i in range(4)]
    torch.testing.assert_close(editor.edit(data.w[:4], "age", strengths), torch.cat(rows))


def test_dtype_is_kept(editor, data):
    assert editor.edit(data.w[:3].double(), "age", 1.0).dtype == torch.float64


def test_nothing_is_left_to_train(editor, data):
    assert editor.objective(InterfaceGANParams(), fake_context(FakeGenerator())) is None


def test_save_and_load(editor, data, tmp_path):
    save_editor(editor, tmp_path)
    assert torch.equal(load_editor(tmp_path).edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))


def test_unknown_binary_column_is_refused(data):
    with pytest.raises(PipelineError, match="did you mean 'gender'"):
        build(data, binary=("gendre",))


def test_decided_columns_take_the_normal_of_an_svm_when_nothing_else_is_said(data):
    decided = dataclasses.replace(data, decided=("gender",))
    asked = build(data, binary=("gender",))
    assert torch.equal(build(decided, binary="auto").normals, asked.normals)
    assert not torch.equal(build(data, binary="auto").normals, asked.normals)


def test_one_attribute_alone_has_nothing_to_be_projected_off(data):
    species = EditingData(data.w, data.attrs, ("species.cat", "species.dog", "species.wild"))
    editor = build(species, binary=())
    torch.testing.assert_close(torch.nn.functional.normalize(editor.steps, dim=1), editor.normals)
