"""StyleAE: an autoencoder that starts as the identity, trains through every loss, and edits what it is asked
to."""

from __future__ import annotations

import json

import pytest
import torch

from pipeline.editors import EditingData, StyleAE, editor_class, load_editor, save_editor
from pipeline.editors.probe import corrected, fit_probes
from pipeline.editors.settings import StyleAEParams
from pipeline.editors.starts import linear_basis
from pipeline.errors import PipelineError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

PAPER = {
    "reconstruction": "image",
    "coordinates": "w",
    "residual": False,
    "width": 16,
    "schedule": "constant",
    "start": "orthogonal",
    "edit_weight": 0.0,
    "preserve_weight": 0.0,
    "cycle_weight": 0.0,
    "move_weight": 0.0,
    "natural_weight": 0.0,
    "reconstruction_weight": 1.0,
    "layers": 3,
}
SMALL = {"rank": 6, "width": 32, "probe_epochs": 3, "probes": 2}


@pytest.fixture(scope="module")
def generator():
    return FakeGenerator()


@pytest.fixture(scope="module")
def data(generator):
    return fake_data(generator, FakeLabeler(), 400)


def build(settings, data, generator=None):
    context = fake_context(generator or FakeGenerator())
    editor = editor_class("style_ae").build(settings, data, context, seed=0)
    return editor, editor.objective(settings, context)


def train(objective, data, steps, rate=3e-3):
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer, rows = torch.optim.Adam(parameters, lr=rate), objective.rows(data)
    for step in range(steps):
        parts = objective(rows, step / steps)
        optimizer.zero_grad()
        parts["loss"].backward()
        optimizer.step()
    return {name: value.item() for name, value in parts.items()}


def test_untrained_decode_inverts_encode(data):
    editor, _ = build(StyleAEParams(**PAPER), data)
    torch.testing.assert_close(editor.decode(editor.encode(data.w)), data.w, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("width", "error"), [(6, 1e-5), (32, 0.1)])
def test_untrained_decode_inverts_encode_in_visible_coordinates(width, error, data):
    editor, _ = build(StyleAEParams(**{**SMALL, "width": width}), data)
    y = editor.coordinates(data.w)
    assert ((editor.decoder(editor.encoder(y)) - y).norm() / y.norm()).item() < error


def test_slopes_and_depth_are_the_papers(data):
    editor, _ = build(StyleAEParams(**PAPER), data)
    slopes = [
        [m.weight.item() for m in net if isinstance(m, torch.nn.PReLU)]
        for net in (editor.encoder, editor.decoder)
    ]
    assert slopes == [pytest.approx([0.9] * 3), pytest.approx([1 / 0.9] * 3)]


def test_residual_strength_zero_is_exactly_the_identity(data):
    editor, objective = build(StyleAEParams(**SMALL), data)
    train(objective, data, 3)
    assert torch.equal(editor.edit(data.w, "age", 0.0), data.w)


def test_papers_edit_decodes_the_overwritten_code(data):
    editor, _ = build(StyleAEParams(**PAPER), data)
    code = editor.encode(data.w)
    code[:, 1] += 0.5
    torch.testing.assert_close(editor.edit(data.w, "age", 0.5), editor.decode(code))


@pytest.mark.parametrize("reconstruction", ["image", "pullback", "w"])
@pytest.mark.parametrize("coordinates", ["w", "visible"])
def test_gradient_reaches_every_weight(reconstruction, coordinates, data):
    settings = StyleAEParams(**SMALL, reconstruction=reconstruction, coordinates=coordinates)
    _, objective = build(settings, data)
    train(objective, data, 1)  # away from the identity, where reconstruction is perfect and gives no gradient
    objective(objective.rows(data), 0.5)["loss"].backward()
    for name, parameter in objective.named_parameters():
        assert not parameter.requires_grad or float(parameter.grad.abs().sum()) > 0, name


def test_frozen_networks_stay_frozen(data, generator):
    _, objective = build(StyleAEParams(**{**PAPER, **SMALL}), data, generator)
    assert {name.split(".")[0] for name, p in objective.named_parameters() if p.requires_grad} == {"editor"}


@pytest.mark.parametrize("reconstruction", ["image", "pullback", "w"])
def test_overfits_32_codes(reconstruction, data):
    few = EditingData(data.w[:32], data.attrs[:32], data.columns)
    settings = StyleAEParams(
        **{**PAPER, "reconstruction": reconstruction, "width": 64, "attribute_weight": 0.5}
    )
    _, objective = build(settings, few)
    parts = train(objective, few, 120, rate=1e-2)
    assert parts["attributes"] < 0.02
    assert parts["reconstruction"] < 0.02


def test_lambda_ramps_linearly(data):
    settings = StyleAEParams(**{**PAPER, "hinge_weight": 0.0, "lambda_ramp": 0.5})
    _, objective = build(settings, data)
    for progress, share in [(0.0, 0.0), (0.25, 0.15), (0.5, 0.3), (1.0, 0.3)]:
        parts = objective(objective.rows(data), progress)
        expected = (1 - share) * parts["reconstruction"] + share * parts["attributes"]
        torch.testing.assert_close(parts["loss"], expected)


def test_statistics_are_the_training_splits(data):
    editor, _ = build(StyleAEParams(**PAPER), data)
    normal = editor.normalise(data.attrs)
    torch.testing.assert_close(normal.mean(0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(normal.std(0), torch.ones(3))


def test_linear_start_edits_along_known_directions():
    """Readers and moves of a linear toy: each move changes its own attribute by one unit and no other."""
    random = torch.Generator().manual_seed(0)
    y = torch.randn(4000, 5, generator=random) * torch.tensor([2.0, 1, 1, 0.5, 0.1])
    readers = torch.tensor([[1.0, 0.4, 0, 0, 0], [0, 0.7, 0.5, 0, 0]])
    basis = linear_basis(y, y @ readers.T)
    torch.testing.assert_close(basis[:2], readers, rtol=0, atol=0.01)
    moves = torch.linalg.inv(basis)[:, :2]
    torch.testing.assert_close(readers @ moves, torch.eye(2), rtol=0, atol=0.01)


def test_linear_start_is_near_the_identity_and_reads_attributes(data):
    editor, _ = build(StyleAEParams(**{**SMALL, "width": 6}), data)
    code = editor.encode(data.w)
    residual = (code[:, :3] - editor.normalise(data.attrs)).square().mean()
    assert residual < 0.3
    y = editor.coordinates(data.w)
    torch.testing.assert_close(editor.decoder(code), y, rtol=1e-3, atol=1e-3)


def test_edit_aware_training_lands_on_target_and_leaves_the_rest():
    """Two attributes of a linear style space share a coordinate; moving one must not move the other."""
    random = torch.Generator().manual_seed(0)
    w = torch.randn(500, 4, generator=random)
    readers = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.6, 0.8, 0.0, 0.0]])
    data = EditingData(w, w @ readers.T, ("age", "smile"))
    settings = StyleAEParams(rank=4, width=16, layers=1, probe_epochs=10, probes=1, move_weight=0.01)
    context = fake_context(FakeGenerator(w_dim=4, z_dim=4))
    context.__dict__["metric"] = torch.eye(4, dtype=torch.float64)
    editor = StyleAE.build(settings, data, context, seed=0)
    train(editor.objective(settings, context), data, 150, rate=1e-2)
    for k, name in enumerate(data.columns):
        change = ((editor.edit(w, name, 0.5) - w) @ readers.T / data.attrs.std(0)).mean(0)
        torch.testing.assert_close(change, 0.5 * torch.eye(2)[k], rtol=0, atol=0.08)


def test_probes_read_attributes(data):
    normal = (data.attrs - data.attrs.mean(0)) / data.attrs.std(0)
    probes = fit_probes(data.w, normal, members=2, epochs=25, seed=0)
    assert float((probes(data.w).mean(0) - normal).square().mean()) < 0.1


def test_same_seed_same_weights(data):
    first, second = (build(StyleAEParams(**SMALL), data)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_batch_are_kept(dtype, data):
    editor, _ = build(StyleAEParams(**SMALL), data)
    edited = editor.edit(data.w[:5].to(dtype), "smile", torch.linspace(-1, 1, 5))
    assert edited.dtype == dtype and edited.shape == (5, 16)


def test_save_and_load(data, tmp_path):
    editor, _ = build(StyleAEParams(**SMALL), data)
    save_editor(editor, tmp_path)
    loaded = load_editor(tmp_path)
    assert torch.equal(loaded.edit(data.w, "age", 1.0), editor.edit(data.w, "age", 1.0))
    assert not any(p.requires_grad for p in loaded.parameters())


def test_probes_are_saved_where_edits_are_trained_alone(data):
    kept = [build(settings, data)[0].probes for settings in (StyleAEParams(**SMALL), StyleAEParams(**PAPER))]
    assert kept == [2, 0]


def test_a_step_is_corrected_by_what_the_probes_read(data):
    """However effective a coordinate is, edits end at what was asked, in either direction."""
    editor, _ = build(StyleAEParams(**SMALL), data)
    steps = torch.tensor([-1.0, -0.02, 0.0, 0.02, 1.0])[:, None]
    features = editor.coordinates(data.w[:5])
    toward = torch.linalg.pinv(editor.readers.skip.mean(dim=0))[1]  # age alone, as far as probes are linear
    for nets in (editor.readers.out, editor.readers.bias):
        nets.zero_()
    for effect in (0.6, 1.0, 1.7):
        found = corrected(
            steps, lambda tried, e=effect: features + e * tried * toward, features, 1, editor.readers
        )
        torch.testing.assert_close(found * effect, steps, rtol=1e-3, atol=1e-5)
    found = corrected(steps, lambda tried: features - tried * toward, features, 1, editor.readers)
    bounded = torch.tensor([-1.75, -0.04, 0.0, 0.04, 1.75])[:, None]
    torch.testing.assert_close(found, bounded)  # what goes the wrong way is not turned round


def test_ws_are_refused(data):
    editor, _ = build(StyleAEParams(**SMALL), data)
    with pytest.raises(PipelineError, match=r"\[N, 16\], got \[2, 18, 16\]: reduce ws"):
        editor.edit(torch.zeros(2, 18, 16), "age", 1.0)


def test_unknown_attribute_is_refused(data):
    editor, _ = build(StyleAEParams(**SMALL), data)
    with pytest.raises(PipelineError, match="did you mean 'smile'"):
        editor.edit(data.w, "smle", 1.0)


def test_constant_labels_are_refused(data):
    constant = EditingData(data.w, data.attrs * torch.tensor([1, 0, 1]), data.columns)
    with pytest.raises(PipelineError, match="'age'"):
        build(StyleAEParams(**SMALL), constant)


def test_unknown_kind_is_refused():
    with pytest.raises(PipelineError, match="did you mean 'style_ae'"):
        editor_class("style_ea")


def test_a_config_of_another_editor_is_refused(data, tmp_path):
    editor, _ = build(StyleAEParams(**SMALL), data)
    save_editor(editor, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "depth": 3}))
    with pytest.raises(PipelineError, match="constructor arguments"):
        load_editor(tmp_path)


def test_few_directions_may_hold_nearly_all_of_the_energy(data):
    context = fake_context(FakeGenerator())
    context.__dict__["metric"] = torch.diag(torch.logspace(0, -9, data.w.shape[1], dtype=torch.float64))
    settings = StyleAEParams(**SMALL)
    assert StyleAE.build(settings, data, context, seed=0).factor.shape[0] == settings.rank


@pytest.mark.parametrize(("progress", "images"), [(0.0, 0), (0.74, 0), (0.75, 2), (0.99, 2)])
def test_polishing_calls_the_generator_in_the_last_epochs_alone(progress, images, data):
    _, objective = build(StyleAEParams(**{**SMALL, "epochs": 4, "polish_epochs": 1}), data)
    calls, synthesize = [], objective.synthesize
    objective.synthesize = lambda w: calls.append(len(w)) or synthesize(w)
    objective(objective.rows(data), progress)["loss"].backward()
    assert len(calls) == images


def test_image_loss_and_visible_coordinates_measure_in_the_same_unit(data):
    """To second order both are the same distance, as long as the coordinates hold what is visible."""
    editor, objective = build(StyleAEParams(**{**SMALL, "rank": 16, "polish_epochs": 1}), data)
    rows = objective.rows(data)
    decoded = rows["y"] + 1e-2 * torch.randn(rows["y"].shape, generator=torch.Generator().manual_seed(0))
    in_images, in_coordinates = (
        float(objective._reconstruction(rows, decoded, progress)[0]["reconstruction"])
        for progress in (1.0, 0.0)
    )
    assert in_images == pytest.approx(in_coordinates, rel=0.1)
