"""StyleFlow: a flow that inverts, whose likelihood is one, and that edits by changing the condition."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchdiffeq import odeint

from pipeline.editors import EditingData, StyleFlow, editor_class, load_editor, save_editor
from pipeline.editors.continuous_flow import Velocity, integrate
from pipeline.editors.flow_settings import StyleFlowParams
from pipeline.editors.style_flow import solver_error
from pipeline.errors import PipelineError
from pipeline.loop import Loop
from pipeline.members import train_members
from pipeline.sections import SectionError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data
from tests.flow_world import finite_jacobian, roughen, toy

SMALL = {"width": 16, "layers": 3, "solver": "rk4", "steps": 2, "epochs": 2, "batch_size": 100}
SOLVERS = ["dopri5", "rk4", "midpoint"]


@pytest.fixture(scope="module")
def data():
    return fake_data(FakeGenerator(), FakeLabeler(), 300)


def build(data, seed=0, **settings):
    settings = StyleFlowParams(**{**SMALL, **settings})
    context = fake_context(FakeGenerator())
    editor = editor_class("style_flow").build(settings, data, context, seed)
    return editor, editor.objective(settings, context), settings


def trained(data, **settings):
    editor, objective, settings = build(data, **settings)
    loop = Loop(objective, objective, settings, data, data, seed=0)
    while not loop.finished:
        loop.run_epoch()
    return editor.requires_grad_(False)


def rough(w_dim=4, solver="rk4", steps=8):
    """A flow of two attributes that is nothing special, in float64."""
    editor = roughen(StyleFlow(("age", "smile"), w_dim, 3, 16, solver, steps)).double()
    random = torch.Generator().manual_seed(6)
    lower = torch.randn(w_dim, w_dim, generator=random).tril(-1) * 0.3
    editor.spread.copy_(lower + torch.diag(torch.linspace(0.5, 2, w_dim)))
    editor.center.copy_(torch.randn(w_dim, generator=random))
    return editor


def rows_of(count=20, w_dim=4):
    random = torch.Generator().manual_seed(0)
    return (
        torch.randn(count, w_dim, generator=random).double(),
        torch.randn(count, 2, generator=random).double(),
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_unflow_inverts_flow(solver):
    editor = roughen(StyleFlow(("age", "smile"), 6, 6, 16, solver, steps=48), size=0.1)
    w, attrs = (t.float() for t in rows_of(w_dim=6))
    assert float((editor.flow(w, attrs) - w).abs().mean()) > 0.05
    torch.testing.assert_close(editor.unflow(editor.flow(w, attrs), attrs), w, rtol=0, atol=1e-4)


@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
def test_decode_inverts_encode_after_training(solver, data):
    editor = trained(data, solver=solver)
    torch.testing.assert_close(editor.decode(editor.encode(data.w)), data.w, rtol=0, atol=1e-4)


def test_tangents_are_moved_by_the_jacobian():
    velocity = roughen(Velocity(4, attributes=2, layers=6, width=16)).double()
    x, attrs = rows_of(count=1)
    jacobian = torch.autograd.functional.jacobian(lambda row: velocity(0.3, row, attrs)[0][0], x)[:, 0]
    _, moved = velocity(0.3, x, attrs, torch.eye(4).double()[:, None])
    torch.testing.assert_close(moved[:, 0].T, jacobian)


@pytest.mark.parametrize("solver", ["dopri5", "rk4"])
def test_density_is_that_of_the_jacobians_determinant(solver):
    editor = rough(solver=solver, steps=16)
    w, attrs = rows_of(count=1)
    jacobian = finite_jacobian(lambda row: editor.flow(row[None], attrs)[0], w[0], step=1e-3)
    z = editor.flow(w, attrs)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(editor.log_density(w, attrs), expected, rtol=0, atol=2e-3)


def test_density_integrates_to_one():
    editor = rough(w_dim=2)
    axis = torch.linspace(-12, 12, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = editor.log_density(grid, torch.tensor([[0.7, -0.4]]).double().expand(len(grid), 2)).exp()
    assert float(density.sum() * (axis[1] - axis[0]) ** 2) == pytest.approx(1, abs=0.01)


def test_hutchinsons_estimate_is_right_on_average():
    editor = rough()
    w, attrs = (t[:1].expand(4000, -1) for t in rows_of())
    signs = (torch.rand(1, 4000, 4, generator=torch.Generator().manual_seed(0)) < 0.5) * 2.0 - 1
    estimates = editor.log_density(w, attrs, signs.double())
    exact = editor.log_density(w[:1], attrs[:1])
    error = estimates.std() / 4000**0.5
    assert float((estimates.mean() - exact).abs()) < 4 * float(error)
    assert float(error) > 0


def test_hutchinsons_directions_do_not_depend_on_the_batch(data):
    _, objective, _ = build(data)
    roughen(objective.editor)
    rows = objective.rows(data)
    parts = [objective({n: t[i::2] for n, t in rows.items()}, 0.3)["loss"] for i in range(2)]
    torch.testing.assert_close(torch.stack(parts).mean(), objective(rows, 0.3)["loss"])


@pytest.mark.parametrize("solver", ["midpoint", "rk4"])
def test_fixed_steps_converge_at_the_order_of_the_rule(solver):
    """Half the step, a quarter of the error by midpoints and a sixteenth by Runge-Kutta, or somewhat less."""
    decay, one = torch.tensor([[1.0]]).double(), torch.tensor(1.0).double()
    errors = [
        abs(float(integrate(lambda time, x: -2 * x * time, decay, 0, 1, solver, steps)) - float((-one).exp()))
        for steps in (4, 8)
    ]
    assert errors[0] / errors[1] > {"midpoint": 3.5, "rk4": 13}[solver]


def test_midpoints_are_torchdiffeqs():
    """One of several Runge-Kutta rules bears the name rk4, but there is one midpoint rule."""
    velocity, (x, attrs) = roughen(Velocity(4, 2, 3, 16)).double(), rows_of()

    def rate(time, state):
        return velocity(time, state, attrs)[0]

    times = torch.tensor([0.0, 1.0]).double()
    theirs = odeint(rate, x, times, method="midpoint", options={"step_size": 0.25})[-1]
    torch.testing.assert_close(integrate(rate, x, 0.0, 1.0, "midpoint", 4), theirs)


def test_fixed_steps_err_less_the_more_they_are(data):
    errors = []
    for solver, steps in (("midpoint", 2), ("midpoint", 6), ("rk4", 6)):
        editor = roughen(build(data, solver=solver, steps=steps)[0])
        errors.append(solver_error(editor, data.w, "age", 1.0))
        assert editor.solver == solver
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4


def test_untrained_edits_change_nothing(data):
    editor, _, _ = build(data)
    torch.testing.assert_close(editor.edit(data.w, "age", 1.0), data.w)


@pytest.mark.parametrize("normalise", ["scale", "whiten"])
def test_styles_enter_the_flow_normalised(normalise, data):
    editor, _, _ = build(data, normalise=normalise)
    z = editor.flow(data.w, editor.normalise(data.attrs)).double()
    covariance = z.T @ z / len(z)
    expected = torch.corrcoef(data.w.double().T) if normalise == "scale" else torch.eye(16).double()
    varies = torch.linalg.eigvalsh(torch.cov(data.w.double().T)) > 1e-3  # the rest is the floor's, near 0
    found, known = (torch.linalg.eigvalsh(c)[varies] for c in (covariance, expected))
    torch.testing.assert_close(found, known, rtol=0.02, atol=0)


@pytest.mark.parametrize("divergence", ["exact", "hutchinson"])
def test_an_edit_moves_along_the_known_direction(divergence):
    data, direction = toy()
    editor = trained(data, divergence=divergence, epochs=4, learning_rate=2e-2, layers=2)
    move = editor.edit(data.w, "age", 1.0) - data.w
    torch.testing.assert_close(move.mean(0), direction, rtol=0, atol=0.1)


def test_training_finds_the_conditional_density():
    """A Gaussian toy, whose entropy given the attribute is that of noise with deviations 0.5 and 0.1."""
    random = torch.Generator().manual_seed(0)
    a, noise = torch.randn(2000, 1, generator=random), torch.randn(2000, 2, generator=random)
    spread = torch.tensor([0.5, 0.1])
    data = EditingData(torch.cat([a, -a], dim=1) + noise * spread, a, ("age",))
    editor, objective, settings = build(data, epochs=8, learning_rate=2e-2, layers=2, divergence="exact")
    loop = Loop(objective, objective, settings, data, data, seed=0)
    while not loop.finished:
        loop.run_epoch()
    entropy = torch.distributions.Normal(0.0, spread).entropy().sum()
    assert loop.best_loss == pytest.approx(float(entropy), abs=0.1)


def test_reader_reads_the_attributes(data):
    editor, _, _ = build(data)
    read, known = editor.encode(data.w)[:, :3].detach(), editor.normalise(data.attrs)
    assert float((read - known).square().mean()) < 0.3


def test_edit_is_an_overwritten_coordinate(data):
    editor = trained(data)
    code = editor.encode(data.w)
    code[:, 2] += 0.7
    torch.testing.assert_close(editor.decode(code), editor.edit(data.w, "smile", 0.7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_batch_are_kept(dtype, data):
    editor, _, _ = build(data)
    edited = editor.edit(data.w[:5].to(dtype), "smile", torch.linspace(-1, 1, 5))
    assert edited.dtype == dtype and edited.shape == (5, 16)


def test_members_end_as_if_trained_alone(data):
    together = [build(data, seed) for seed in (3, 5)]
    losses = train_members([o for _, o, _ in together], together[0][2], data, data, (3, 5))
    for seed, (editor, _, settings), loss in zip((3, 5), together, losses, strict=True):
        _, objective, _ = build(data, seed)
        loop = Loop(objective, objective, settings, data, data, seed)
        while not loop.finished:
            loop.run_epoch()
        loop.load_best()
        assert loss == pytest.approx(loop.best_loss, rel=1e-3)
        for name, weight in objective.editor.named_parameters():
            torch.testing.assert_close(editor.get_parameter(name), weight, rtol=1e-3, atol=1e-3)


def test_same_seed_same_weights(data):
    first, second = (trained(data).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_save_and_load(data, tmp_path):
    editor = trained(data, solver="midpoint", steps=5)
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    assert loaded.config() == editor.config()
    assert torch.equal(loaded.edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))


def test_ws_are_refused(data):
    with pytest.raises(PipelineError, match=r"\[N, 16\], got \[2, 18, 16\]: reduce ws"):
        build(data)[0].edit(torch.zeros(2, 18, 16), "age", 1.0)


def test_unknown_attribute_is_refused(data):
    with pytest.raises(PipelineError, match="did you mean 'smile'"):
        build(data)[0].edit(data.w, "smle", 1.0)


def test_constant_labels_are_refused(data):
    constant = dataclasses.replace(data, attrs=data.attrs * torch.tensor([1, 0, 1]))
    with pytest.raises(PipelineError, match="'age'"):
        build(constant)


@pytest.mark.parametrize(("name", "value"), [("layers", 1), ("steps", 0), ("learning_rate", 0.0)])
def test_values_out_of_range_are_refused(name, value):
    with pytest.raises(SectionError, match=name):
        StyleFlowParams(**{name: value})
