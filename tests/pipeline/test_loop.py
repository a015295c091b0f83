import math

import pytest
import torch

from pipeline.editors import EditingData, StyleAE
from pipeline.editors.settings import StyleAEParams
from pipeline.loop import Loop, batches_of, learning_rate, part_of
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

SETTINGS = StyleAEParams(
    rank=6, layers=1, width=16, probes=1, probe_epochs=1, epochs=5, batch_size=16, patience=5
)


def make_loop(settings: StyleAEParams = SETTINGS, rows: int = 50) -> Loop:
    generator = FakeGenerator()
    data = fake_data(generator, FakeLabeler(), rows)
    train = EditingData(data.w[:40], data.attrs[:40], data.columns)
    val = EditingData(data.w[40:], data.attrs[40:], data.columns)
    context = fake_context(generator)
    objective = StyleAE.build(settings, train, context, seed=0).objective(settings, context)
    return Loop(objective, objective, settings, train, val, seed=3)


def run(loop: Loop) -> Loop:
    while not loop.finished:
        loop.run_epoch()
    return loop


def weights(loop: Loop) -> bytes:
    loop.load_best()
    return b"".join(t.numpy().tobytes() for t in loop.objective.editor.state_dict().values())


def test_batches_hold_every_row_once_and_none_is_small():
    batches = batches_of(rows=103, batch_size=20, seed=0, epoch=0)
    assert sorted(torch.cat(batches).tolist()) == list(range(103))
    assert min(map(len, batches)) >= 20


def test_order_of_rows_depends_on_seed_and_epoch():
    orders = [
        torch.cat(batches_of(50, 10, seed, epoch)).tolist()
        for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] and orders[0] != orders[3]


def test_fewer_rows_than_a_batch_are_one_batch():
    assert [len(batch) for batch in batches_of(rows=3, batch_size=20, seed=0, epoch=0)] == [3]


def test_a_resumed_loop_ends_with_the_same_bits(tmp_path):
    whole = run(make_loop())
    first = make_loop()
    first.run_epoch()
    first.run_epoch()
    torch.save(first.state(), tmp_path / "state.pt")
    second = make_loop()
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    run(second)
    assert weights(second) == weights(whole)
    cost = ("seconds", "peak_mib")
    timeless = [
        [{k: v for k, v in row.items() if k not in cost} for row in x.history] for x in (whole, second)
    ]
    assert timeless[0] == timeless[1]


def test_training_lowers_the_validation_loss():
    """The training loss of so few rows hangs on the edits that an epoch draws; validation draws the same."""
    history = run(make_loop()).history
    assert history[-1]["val_loss"] < history[0]["val_loss"]


def test_stops_when_validation_does_not_improve():
    loop = make_loop(StyleAEParams(**{**settings_of(SETTINGS), "patience": 2}))
    loop.validate = lambda: {"loss": 1.0}  # never better than in the first epoch
    run(loop)
    assert (loop.epoch, loop.best_epoch) == (3, 0)


def settings_of(settings: StyleAEParams) -> dict:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def test_keeps_the_weights_of_the_best_epoch():
    loop = make_loop()
    losses = iter([2.0, 1.0, 3.0, 3.0, 3.0])
    loop.validate = lambda: {"loss": next(losses)}
    loop.run_epoch()
    loop.run_epoch()
    best = {name: t.clone() for name, t in loop.objective.editor.state_dict().items()}
    run(loop)
    loop.load_best()
    assert all(torch.equal(t, best[name]) for name, t in loop.objective.editor.state_dict().items())


def test_cosine_schedule_ends_near_zero():
    assert learning_rate(SETTINGS, 1.0) == pytest.approx(0, abs=1e-12)
    assert learning_rate(SETTINGS, 0.5) == pytest.approx(SETTINGS.learning_rate / 2)


def test_parts_of_a_batch_weigh_as_the_batch():
    """Two ranks' losses, added up as data-parallel training does, are the whole batch's gradient."""
    loop = make_loop()
    batch = torch.arange(7)

    def gradient(rank: int, ranks: int) -> torch.Tensor:
        part = batch.tensor_split(ranks)[rank]
        loss = loop.objective(part_of(loop.train, part), 0.0)["loss"]
        parameter = next(iter(loop.trained.values()))
        (found,) = torch.autograd.grad(loss * (len(part) * ranks / len(batch)), parameter)
        return found

    torch.testing.assert_close((gradient(0, 2) + gradient(1, 2)) / 2, gradient(0, 1))
    assert math.isfinite(gradient(0, 1).norm())
