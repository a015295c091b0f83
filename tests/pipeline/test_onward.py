"""How an edit of StyleAE goes on beyond its reach: along the probes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.editors import EditingData, StyleAE
from pipeline.editors.onward import FURTHEST, measure_units, onward
from pipeline.editors.probe import ProbeEnsemble
from pipeline.editors.settings import StyleAEParams
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

FEATURES = 6


@pytest.fixture
def probes() -> ProbeEnsemble:
    """Two members with random weights, the linear part included."""
    ensemble = ProbeEnsemble(2, FEATURES, 2, hidden=16)
    ensemble.skip.data.normal_(generator=torch.Generator().manual_seed(1))
    return ensemble.requires_grad_(False)


def linear(probes: ProbeEnsemble) -> ProbeEnsemble:
    """The same ensemble without its hidden layers."""
    probes.out.data.zero_()
    return probes


def samples(count: int = 5) -> Tensor:
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(2))


def go(features: Tensor, rest: float, probes: ProbeEnsemble, speed: float = 0.1) -> Tensor:
    ones = torch.ones(len(features), 1)
    return onward(features, rest * ones, speed * ones, torch.tensor([1.0, 0.0]), probes, torch.ones(FEATURES))


def test_slopes_are_those_of_finite_differences(probes: ProbeEnsemble) -> None:
    probes, x, h = probes.double(), samples().double(), 1e-6
    slopes = probes.slopes(x)
    for i in range(FEATURES):
        step = h * torch.eye(FEATURES).double()[i]
        measured = (probes(x + step) - probes(x - step)).mean(dim=0) / (2 * h)
        torch.testing.assert_close(slopes[:, :, i], measured, rtol=1e-5, atol=1e-7)


def test_near_steps_move_the_attribute_alone_and_the_shortest_way(probes: ProbeEnsemble) -> None:
    x, rest = samples(), 0.01  # what is drawn to the mean falls with its square
    change = go(x, rest, linear(probes)) - x
    slopes = probes.slopes(x)[0]
    read = change @ slopes.T
    assert (read[:, 0] > 0).all()
    assert read[:, 1].abs().max() < 0.2 * read[:, 0].min()
    within = slopes.T @ torch.linalg.lstsq(slopes.T, change.T).solution
    torch.testing.assert_close(within, change.T, rtol=0.05, atol=1e-5)
    torch.testing.assert_close(change.norm(dim=1), torch.full((len(x),), 0.1 * rest), rtol=0.05, atol=0)


def test_the_way_bends_with_the_probes(probes: ProbeEnsemble) -> None:
    x = samples()
    (near, far) = (go(x, rest, probes, speed=1.0) - x for rest in (0.05, 2.0))
    turned = torch.nn.functional.cosine_similarity(near, far)
    assert turned.mean() < 0.98


def test_both_directions_lead_opposite_ways(probes: ProbeEnsemble) -> None:
    x = torch.zeros(3, FEATURES)  # at the mean nothing is drawn to it
    there, back = (go(x, rest, linear(probes)) for rest in (2.0, -2.0))
    torch.testing.assert_close(there, -back)


def test_however_much_is_asked_it_ends(probes: ProbeEnsemble) -> None:
    x = torch.zeros(1, FEATURES)
    lengths = [float(go(x, rest, linear(probes)).norm()) for rest in (1.0, 5.0, 50.0)]
    assert lengths[0] < lengths[1] < lengths[2] <= 0.1 * FURTHEST + 1e-6


def test_far_on_what_the_probes_do_not_see_is_drawn_to_the_mean(probes: ProbeEnsemble) -> None:
    x, slopes = samples(), linear(probes).slopes(samples())[0]
    unseen = torch.linalg.qr(slopes.T, mode="complete").Q[:, 2:]
    left = (go(x, 50.0, probes) @ unseen).norm(dim=1) / (x @ unseen).norm(dim=1)
    assert left.max() < 0.6
    assert (go(x, 0.3, probes) @ unseen - x @ unseen).norm() < 0.1 * (x @ unseen).norm()


def test_a_row_does_not_hang_on_the_others(probes: ProbeEnsemble) -> None:
    x = samples()
    torch.testing.assert_close(go(x[1:2], 1.0, probes), go(x, 1.0, probes)[1:2])


def test_units_are_between_variance_and_distance() -> None:
    features = samples(1000) * torch.tensor([0.1, 1, 1, 1, 1, 3])
    unit, spread = measure_units(features), features.std(dim=0)
    assert spread[0] < unit[0] < unit[1] < unit[5] < spread[5]


@pytest.fixture(scope="module")
def data() -> EditingData:
    return fake_data(FakeGenerator(), FakeLabeler(), 400)


def editor_of(data: EditingData, **settings: object) -> StyleAE:
    """An untrained editor, but for its probes."""
    small = {"rank": 6, "width": 32, "probe_epochs": 3, "probes": 2}
    return StyleAE.build(StyleAEParams(**small | settings), data, fake_context(FakeGenerator()), seed=0)


def test_beyond_its_reach_an_edit_leaves_the_decoder(data: EditingData) -> None:
    """Not before, and at no jump."""
    editor, endless = editor_of(data), editor_of(data, reach=1e6)

    def further(editor: StyleAE, strength: float) -> Tensor:
        return editor.edit(data.w[:20], "smile", strength)

    assert torch.equal(further(editor, -1.5), further(endless, -1.5))
    torch.testing.assert_close(further(editor, -1.501), further(editor, -1.5), rtol=0, atol=0.01)
    assert (further(editor, -3.0) - further(endless, -3.0)).norm(dim=1).min() > 0.01


def test_styles_themselves_have_no_way_on(data: EditingData) -> None:
    edited = [editor_of(data, coordinates="w", reach=r).edit(data.w[:20], "smile", 3.0) for r in (1.5, 1e6)]
    assert torch.equal(*edited)


def test_an_edit_far_on_does_not_hang_on_the_others(data: EditingData) -> None:
    editor, strengths = editor_of(data), torch.tensor([-9.0, -1.0, 0.0, 1.6, 4.0])
    together = editor.edit(data.w[:5], "age", strengths)
    alone = [editor.edit(data.w[i : i + 1], "age", strengths[i : i + 1]) for i in range(5)]
    torch.testing.assert_close(together, torch.cat(alone))
    assert torch.equal(together[2], data.w[2])
