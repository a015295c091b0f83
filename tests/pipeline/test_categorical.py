"""Attributes with classes: one column for each class, which move together, all the way through an editor."""

from __future__ import annotations

import pytest
import torch

from pipeline.attributes import Attribute
from pipeline.editors import EditingData, StyleAE, editor_class, losses
from pipeline.editors.settings import InterfaceGANParams, StyleAEParams
from pipeline.errors import PipelineError
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data

ATTRIBUTES = (
    Attribute(name="age"),
    Attribute(name="pet", kind="categorical", classes=("cat", "dog", "wild")),
)
PETS = [1, 2, 3]
REPEATED = {"start": "orthogonal", "repeats": 4}
SMALL = {"rank": 16, "width": 32, "layers": 1, "probe_epochs": 10, "probes": 2}


@pytest.fixture(scope="module")
def data() -> EditingData:
    w = fake_data(FakeGenerator(), FakeLabeler(ATTRIBUTES), 400).w
    return EditingData(w, labels(w), FakeLabeler(ATTRIBUTES).columns)


def build(data: EditingData, **settings: object) -> tuple[StyleAE, torch.nn.Module]:
    asked = StyleAEParams(**{**SMALL, "coordinates": "w", "reconstruction": "w", **settings})
    context = fake_context(FakeGenerator())
    editor = editor_class("style_ae").build(asked, data, context, seed=0)
    return editor, editor.objective(asked, context)


def train(objective: torch.nn.Module, data: EditingData, steps: int) -> None:
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=3e-3)
    rows = objective.rows(data)
    for step in range(steps):
        optimizer.zero_grad()
        objective(rows, step / steps)["loss"].backward()
        optimizer.step()


@torch.no_grad()
def labels(w: torch.Tensor) -> torch.Tensor:
    """The age, and of each pet the logit of its probability; no pet is rare."""
    generator, labeler = FakeGenerator(), FakeLabeler(ATTRIBUTES)
    usual = labeler(generator.synthesize(fake_data(generator, labeler, 400).w))
    scores = (labeler(generator.synthesize(w)) - usual.mean(dim=0)) / usual.std(dim=0)
    shares = (2 * scores[:, PETS]).softmax(dim=1)
    return torch.cat([scores[:, :1], torch.logit(shares, eps=1e-4)], dim=1)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "pet.cat"}, "without a dot, got 'pet.cat'"),
        ({"name": "pet", "kind": "categorical", "classes": ("cat", "dog")}, "two classes are a 'binary'"),
        ({"name": "pet", "kind": "categorical", "classes": ("cat", "dog", "cat")}, "different classes"),
    ],
)
def test_names_and_classes_that_cannot_be_told_apart_are_refused(fields: dict, problem: str) -> None:
    with pytest.raises(PipelineError, match=problem):
        Attribute(**fields)


def test_repeated_classes_fill_the_code_n_times(data: EditingData) -> None:
    editor, _ = build(data, **REPEATED)
    assert editor.owners == [0, *[1] * 4, *[2] * 4, *[3] * 4]
    normal = editor.normalise(data.attrs)
    raised = normal[:, PETS] > normal[:, PETS].mean(dim=0)
    assert torch.equal(raised.long().argmax(dim=1), data.attrs[:, PETS].argmax(dim=1))
    assert torch.equal(raised.sum(dim=1), torch.ones(len(raised), dtype=torch.long))


def test_the_loss_charges_for_a_wrong_class_that_is_high(data: EditingData) -> None:
    editor, _ = build(data, **REPEATED)
    cat = data.attrs[data.attrs[:, PETS].argmax(dim=1) == 0][:1]
    target = editor.normalise(cat)[:, editor.owners]
    wrong = target.clone()
    wrong[:, [k == 2 for k in editor.owners]] += 1.0  # the dog coordinates
    assert losses.attribute_loss(target, target) == 0
    torch.testing.assert_close(losses.attribute_loss(wrong, target), torch.tensor(4 / 13))


def test_an_edit_moves_every_copy_and_the_other_classes_make_room(data: EditingData) -> None:
    terms = dict.fromkeys(("edit", "preserve", "cycle", "move", "natural"), 0.0)  # no probes: no correction
    settings = {f"{name}_weight": weight for name, weight in terms.items()}
    editor, _ = build(data, **REPEATED, **settings, residual=False)
    before = editor.encode(data.w)
    after = editor.encode(editor.edit(data.w, "pet.cat", 0.5))  # the untrained code inverts exactly
    step = (after - before).mean(dim=0)[: len(editor.owners)]
    assert step[0].abs() < 1e-3  # age
    in_classes = step[1:].reshape(3, 4) * editor.attr_std[PETS, None]
    torch.testing.assert_close(step[1:5], torch.full((4,), 0.5), rtol=0, atol=1e-3)
    torch.testing.assert_close(in_classes.sum(dim=0), torch.zeros(4), rtol=0, atol=1e-3)
    assert (in_classes[1:] < 0).all()


@pytest.mark.parametrize("settings", [{}, REPEATED], ids=["scores", "repeated"])
def test_a_trained_editor_makes_a_class_the_greatest(settings: dict, data: EditingData) -> None:
    editor, objective = build(data, **settings, attribute_weight=0.5, natural_weight=0.0)
    train(objective, data, 200)
    became, moved, age = [], [], []
    for place, column in enumerate(data.columns[1:]):
        w = data.w[data.attrs[:, PETS].argmax(dim=1) != place]
        with torch.no_grad():
            after = labels(editor.edit(w, column, 3.0))
        became.append((after[:, PETS].argmax(dim=1) == place).float().mean())
        step = ((after - labels(w)) / data.attrs.std(dim=0)).abs().mean(dim=0)
        moved.append(step[1 + place])
        age.append(step[0])
    assert torch.stack(became).mean() > 0.75
    assert torch.stack(age).mean() < 0.5 * torch.stack(moved).mean()


def test_linear_directions_are_projected_off_other_attributes_and_not_off_other_classes(
    data: EditingData,
) -> None:
    editor = editor_class("interfacegan").build(InterfaceGANParams(), data, fake_context(FakeGenerator()), 0)
    directions = torch.nn.functional.normalize(editor.steps, dim=1)
    cosines = directions @ editor.normals.T
    assert cosines[0, PETS].abs().max() < 1e-5 and cosines[PETS, 0].abs().max() < 1e-5
    assert cosines.diagonal().min() > 0.5
    w = editor.edit(data.w, "pet.dog", 4.0)
    assert (labels(w)[:, PETS].argmax(dim=1) == 1).float().mean() > 0.8


def test_repeated_classes_need_a_code_that_can_hold_them(data: EditingData) -> None:
    with pytest.raises(PipelineError, match="at least 22 coordinates.*got 16"):
        build(data, start="orthogonal", repeats=7)
    with pytest.raises(PipelineError, match="start: orthogonal.*repeats: 0"):
        build(data, repeats=2)
