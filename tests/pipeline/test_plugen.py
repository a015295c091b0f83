"""PluGeN: a flow that inverts, whose likelihood is one, and whose coordinates become the attributes."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from pipeline.editors import EditingData, PluGeN, editor_class, load_editor, save_editor
from pipeline.editors.flow_settings import PluGeNParams
from pipeline.errors import PipelineError
from pipeline.loop import Loop
from pipeline.members import train_members
from pipeline.sections import SectionError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data
from tests.flow_world import finite_jacobian, roughen, toy

SMALL = {"width": 16, "layers": 2, "epochs": 2, "batch_size": 32, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 300)


def build(data, seed=0, **settings):
    settings = PluGeNParams(**{**SMALL, **settings})
    context = fake_context(FakeGenerator())
    editor = editor_class("plugen").build(settings, data, context, seed)
    return editor, editor.objective(settings, context), settings


def trained(data, **settings):
    editor, objective, settings = build(data, **settings)
    loop = Loop(objective, objective, settings, data, data, seed=0)
    while not loop.finished:
        loop.run_epoch()
    return editor.requires_grad_(False), loop


@pytest.mark.parametrize("w_dim", [5, 16])
def test_decode_inverts_encode(w_dim):
    editor = roughen(PluGeN(("age",), w_dim, couplings=4, layers=3, width=16))
    w = torch.randn(40, w_dim, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(editor.decode(editor.encode(w)), w, rtol=1e-4, atol=1e-4)


def test_decode_inverts_encode_after_training(data):
    editor, _ = trained(data)
    torch.testing.assert_close(editor.decode(editor.encode(data.w)), data.w, rtol=1e-4, atol=1e-4)


def test_volume_is_the_determinant_of_the_jacobian():
    editor = roughen(PluGeN(("age",), 5, couplings=4, layers=3, width=16)).double()
    editor.spread.copy_(torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1]))
    w = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian = finite_jacobian(lambda x: editor.encode(x[None])[0], w)
    torch.testing.assert_close(
        editor.log_volume(), torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-6, atol=0
    )


def test_loss_is_the_papers(data):
    """With the distributions of torch, row by row: attributes near their labels, the rest normal."""
    editor, objective, settings = build(data, epochs=10)
    roughen(editor)
    rows, progress = objective.rows(data), 0.5
    code = editor.encode(data.w)
    attrs = (data.attrs - data.attrs.mean(0)) / data.attrs.std(0)
    near, prior = Normal(attrs, 0.4 * 0.999**5), Normal(0.0, 1.0)
    expected = -(
        near.log_prob(code[:, :3]).sum(1) + prior.log_prob(code[:, 3:]).sum(1) + editor.log_volume()
    ).mean()
    torch.testing.assert_close(objective(rows, progress)["loss"], expected, rtol=1e-4, atol=1e-3)


def test_an_edit_moves_along_the_known_direction():
    data, direction = toy()
    editor, _ = trained(data, width=32, epochs=12, learning_rate=3e-3)
    move = editor.edit(data.w, "age", 1.0) - data.w
    torch.testing.assert_close(move.mean(0), direction, rtol=0, atol=0.1)
    read = editor.encode(data.w)[:, 0]
    assert float(torch.corrcoef(torch.stack([read, data.attrs[:, 0]]))[0, 1]) > 0.95


def test_strength_zero_is_the_identity(data):
    editor, _ = trained(data)
    torch.testing.assert_close(editor.edit(data.w, "age", 0.0), data.w, rtol=1e-4, atol=1e-4)


def test_edit_is_an_overwritten_coordinate(data):
    editor, _ = trained(data)
    code = editor.encode(data.w)
    code[:, 2] += 0.7
    torch.testing.assert_close(editor.decode(code), editor.edit(data.w, "smile", 0.7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_batch_are_kept(dtype, data):
    editor, _, _ = build(data)
    edited = editor.edit(data.w[:5].to(dtype), "smile", torch.linspace(-1, 1, 5))
    assert edited.dtype == dtype and edited.shape == (5, 16)


def test_gradient_of_a_step_is_bounded(data):
    """A huge loss moves Adam's first moment by no more than the bound allows."""
    _, objective, settings = build(data, epochs=1, batch_size=300, gradient_clip=1e-3)
    loop = Loop(objective, objective, settings, data, data, seed=0)
    loop.run_epoch()
    moments = [state["exp_avg"] for state in loop.optimizer.state.values()]
    norm = torch.stack([m.square().sum() for m in moments]).sum().sqrt() / (1 - 0.9)
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_members_end_as_if_trained_alone(data):
    """Each member's gradient is bounded by its own norm."""
    together = [build(data, seed) for seed in (3, 5)]
    losses = train_members([o for _, o, _ in together], together[0][2], data, data, (3, 5))
    for seed, (editor, _, settings), loss in zip((3, 5), together, losses, strict=True):
        _, objective, _ = build(data, seed)
        loop = Loop(objective, objective, settings, data, data, seed)
        while not loop.finished:
            loop.run_epoch()
        loop.load_best()
        assert loss == pytest.approx(loop.best_loss, rel=1e-4)
        for name, weight in objective.editor.named_parameters():
            torch.testing.assert_close(editor.get_parameter(name), weight, rtol=1e-3, atol=1e-4)


def test_same_seed_same_weights(data):
    first, second = (trained(data)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["networks.0.0.weight"], build(data, 1)[0].networks[0][0].weight)


def test_save_and_load(data, tmp_path):
    editor, _ = trained(data)
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    assert torch.equal(loaded.edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))


def test_ws_are_refused(data):
    with pytest.raises(PipelineError, match=r"\[N, 16\], got \[2, 18, 16\]: reduce ws"):
        build(data)[0].edit(torch.zeros(2, 18, 16), "age", 1.0)


def test_constant_labels_are_refused(data):
    constant = EditingData(data.w, data.attrs * torch.tensor([1, 0, 1]), data.columns)
    with pytest.raises(PipelineError, match="'age'"):
        build(constant)


def test_more_attributes_than_coordinates_are_refused(data):
    with pytest.raises(PipelineError, match="at most 2 attributes"):
        build(EditingData(data.w[:, :2], data.attrs, data.columns))


@pytest.mark.parametrize(
    ("name", "value"), [("couplings", 1), ("sigma", 0.0), ("sigma_decay", 1.5), ("gradient_clip", 0.0)]
)
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(SectionError, match=name):
        PluGeNParams(**{name: value})
