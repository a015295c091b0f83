"""The floors of a comparison: closed forms that scikit-learn and NumPy find, too, and edits that land."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, Ridge

from pipeline.editors import EditingData, editor_class, load_editor, save_editor
from pipeline.editors.linear import extremes
from pipeline.editors.peer_settings import MeanDifferenceParams, PartialEffectParams, RidgeParams
from pipeline.errors import PipelineError
from pipeline.sections import SectionError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

COLUMNS = ("gender", "age", "smile")
KINDS = {"ridge": RidgeParams, "mean_difference": MeanDifferenceParams, "partial_effect": PartialEffectParams}


def build(kind, data, **settings):
    return editor_class(kind).build(KINDS[kind](**settings), data, fake_context(FakeGenerator()), seed=0)


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 601)


@pytest.fixture(scope="module")
def linear():
    """Correlated styles whose attributes are known linear functions of them."""
    random = torch.Generator().manual_seed(0)
    w = torch.randn(4000, 5, generator=random) @ torch.randn(5, 5, generator=random) + 3
    readers = torch.randn(3, 5, generator=random)
    return EditingData(w, w @ readers.T, COLUMNS), readers


def scikit_learns_readers(data, alpha):
    """What raises an attribute by how many standard deviations, for a unit of w: ``[K, w_dim]``."""
    w, attrs = data.w.double().numpy(), data.attrs.double().numpy()
    damping = alpha * len(w) * w.var(axis=0).mean()
    return Ridge(alpha=damping).fit(w, attrs / attrs.std(axis=0)).coef_


@pytest.mark.parametrize("alpha", [0.05, 0.5])
def test_ridge_steps_are_scikit_learns_coefficients(alpha, data):
    readers = scikit_learns_readers(data, alpha)
    expected = readers / np.square(readers).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        build("ridge", data, alpha=alpha).steps.numpy(), expected, rtol=1e-4, atol=1e-5
    )


def test_mean_differences_are_numpys_on_a_median_split(data):
    w, attrs = data.w.double().numpy(), data.attrs.double().numpy()
    readers = scikit_learns_readers(data, 0.2)
    for k, step in enumerate(build("mean_difference", data).steps.numpy()):
        above, below = attrs[:, k] > np.median(attrs[:, k]), attrs[:, k] < np.median(attrs[:, k])
        difference = w[above].mean(axis=0) - w[below].mean(axis=0)
        np.testing.assert_allclose(step, difference / (readers[k] @ difference), rtol=1e-4, atol=1e-5)


def test_partial_effects_are_scikit_learns_coefficients(data):
    w, attrs = data.w.double().numpy(), data.attrs.double().numpy()
    effects = LinearRegression().fit(attrs / attrs.std(axis=0), w).coef_.T
    expected = effects / (scikit_learns_readers(data, 0.2) * effects).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(build("partial_effect", data).steps.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_share_takes_the_rows_at_either_end(data):
    w, age = data.w.double().numpy(), data.attrs[:, 1].double().numpy()
    low, high = np.quantile(age, [0.1, 0.9])
    difference = w[age >= high].mean(axis=0) - w[age <= low].mean(axis=0)
    step = build("mean_difference", data, share=0.1).steps[1].double().numpy()
    cosine = step @ difference / np.linalg.norm(step) / np.linalg.norm(difference)
    assert cosine == pytest.approx(1, abs=1e-3)


def test_extremes_are_both_ends_and_ties_stay_in_order():
    low, high = extremes(np.array([3.0, 1.0, 1.0, 2.0, 5.0]), 0.4)
    assert (low.tolist(), high.tolist()) == ([1, 2], [0, 4])
    assert [rows.tolist() for rows in extremes(np.array([1.0, 0.0]), 0.01)] == [[1], [0]]


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_moves_its_attribute_by_one_sigma(kind, linear):
    data, readers = linear
    editor = build(kind, data, alpha=1e-7)
    for k, name in enumerate(COLUMNS):
        moved = (editor.edit(data.w, name, 1.0) - data.w) @ readers[k] / data.attrs[:, k].std()
        torch.testing.assert_close(moved, torch.ones(len(moved)), rtol=0, atol=2e-3)


def test_a_difference_moves_a_correlated_attribute_too_and_a_ridge_step_does_not():
    random = torch.Generator().manual_seed(1)
    w = torch.randn(4000, 2, generator=random) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]])  # correlation 0.8
    data = EditingData(w, w.clone(), ("gender", "age"))
    other = {kind: build(kind, data, alpha=1e-7).steps[0, 1].item() for kind in KINDS}
    assert other == pytest.approx({"ridge": 0, "mean_difference": 0.8, "partial_effect": 0}, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_strength_zero_is_the_identity(kind, data):
    assert torch.equal(build(kind, data).edit(data.w, "age", 0.0), data.w)


@pytest.mark.parametrize("kind", KINDS)
def test_edit_is_an_overwritten_coordinate(kind, data):
    editor = build(kind, data)
    code = editor.encode(data.w)
    torch.testing.assert_close(editor.decode(code), data.w)
    code[:, 2] += 0.7
    torch.testing.assert_close(editor.decode(code), editor.edit(data.w, "smile", 0.7))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_strengths_may_differ_by_row_and_dtype_is_kept(kind, dtype, data):
    editor, w = build(kind, data), data.w[:4].to(dtype)
    strengths = torch.linspace(-1, 1, 4)
    rows = [editor.edit(w[i : i + 1], "age", float(strengths[i])) for i in range(4)]
    edited = editor.edit(w, "age", strengths)
    assert edited.dtype == editor.encode(w).dtype == dtype
    torch.testing.assert_close(edited, torch.cat(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_to_train(kind, data):
    assert build(kind, data).objective(KINDS[kind](), fake_context(FakeGenerator())) is None


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind, data, tmp_path):
    editor = build(kind, data)
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    assert type(loaded) is type(editor)
    assert torch.equal(loaded.edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))


@pytest.mark.parametrize("kind", KINDS)
def test_an_attribute_with_one_value_is_refused(kind, data):
    constant = EditingData(data.w, data.attrs * torch.tensor([1.0, 0.0, 1.0]), data.columns)
    with pytest.raises(PipelineError, match="'age', got one value throughout"):
        build(kind, constant)


@pytest.mark.parametrize("kind", KINDS)
def test_style_vectors_of_another_shape_are_refused(kind, data):
    with pytest.raises(PipelineError, match=r"\[N, 16\]"):
        build(kind, data).edit(data.w[:, :5], "age", 1.0)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("ridge", {"alpha": -1.0}), ("mean_difference", {"share": 0.6}), ("mean_difference", {"share": 0.0})],
)
def test_settings_out_of_range_are_refused(kind, settings):
    with pytest.raises(SectionError, match=next(iter(settings))):
        KINDS[kind](**settings)
