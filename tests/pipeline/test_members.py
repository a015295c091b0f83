"""Editors that are trained at once end as those that are trained one by one."""

from __future__ import annotations

import pytest
import torch

from pipeline.editors import editor_class
from pipeline.editors.flow_settings import PluGeNParams
from pipeline.editors.peer_settings import DisentanglerParams
from pipeline.editors.settings import StyleAEParams
from pipeline.loop import Loop
from pipeline.members import train_members
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

SMALL = {"rank": 6, "layers": 1, "width": 16, "probes": 2, "probe_epochs": 1, "epochs": 3, "batch_size": 16}
SEEDS = (3, 5)


@pytest.fixture(scope="module")
def splits():
    generator, labeler = FakeGenerator(), FakeLabeler()
    return fake_data(generator, labeler, 50), fake_data(generator, labeler, 20, seed=1)


def objective_of(settings, splits, seed):
    context = fake_context(FakeGenerator())
    return editor_class(settings.kind).build(settings, splits[0], context, seed).objective(settings, context)


@pytest.mark.parametrize(
    "settings",
    [
        StyleAEParams(**SMALL),
        StyleAEParams(**SMALL, reconstruction="image"),
        DisentanglerParams(components=8, layers=2, width=16, epochs=3, batch_size=16),  # counts as it trains
        PluGeNParams(width=16, epochs=3, batch_size=16),  # clips its gradients
    ],
    ids=["pullback", "image", "disentangler", "plugen"],
)
def test_members_end_as_if_trained_alone(settings, splits):
    together = [objective_of(settings, splits, seed) for seed in SEEDS]
    losses = train_members(together, settings, *splits, SEEDS)
    for seed, member, loss in zip(SEEDS, together, losses, strict=True):
        alone = objective_of(settings, splits, seed)
        loop = Loop(alone, alone, settings, *splits, seed)
        while not loop.finished:
            loop.run_epoch()
        loop.load_best()
        assert loss == pytest.approx(loop.best_loss, rel=1e-4)
        # Not the weights: a bias before a batch norm has no effect, and rounding takes it anywhere.
        codes = [objective.editor.eval().encode(splits[1].w) for objective in (alone, member)]
        torch.testing.assert_close(*codes, rtol=1e-3, atol=2e-3)


def test_members_differ_by_their_seeds(splits):
    settings = StyleAEParams(**SMALL)
    first, second = (objective_of(settings, splits, seed) for seed in SEEDS)
    train_members([first, second], settings, *splits, SEEDS)
    weights = [next(member.editor.parameters()) for member in (first, second)]
    assert not torch.allclose(*weights, atol=1e-2)


def test_each_epoch_is_reported(splits):
    seen = []
    settings = StyleAEParams(**SMALL)
    objectives = [objective_of(settings, splits, seed) for seed in SEEDS]
    best = train_members(objectives, settings, *splits, SEEDS, lambda epoch, losses: seen.append(losses))
    assert len(seen) == settings.epochs
    assert best == [min(losses) for losses in zip(*seen, strict=True)]
