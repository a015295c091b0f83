"""Edits of some layers: on a generator that shows every layer, and by editors as they are built and saved."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.editors import StyleAE, editor_class, load_editor, save_editor
from pipeline.editors.flow_settings import StyleFlowParams
from pipeline.editors.settings import StyleAEParams
from pipeline.editors.style_layers import layer_slice
from pipeline.sections import SectionError, build_section
from tests.banded_world import LAYERS, restricted
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data
from tests.generators import frozen
from tests.linear_world import NAMES, WIDTH, Mover, styles

CONF = Path(__file__).parents[2] / "conf/editor"
KINDS = {"style_flow": StyleFlowParams, "style_ae": StyleAEParams}


def layered(count, seed=1):
    """Styles that differ in every layer, ``[N, 6, 6]``."""
    return torch.randn(count, LAYERS, WIDTH, generator=torch.Generator().manual_seed(seed))


def rough(kind, generator, style_layers):
    """An editor of random weights, so that no edit is nothing."""
    small = {"width": 8, "layers": 2, "epochs": 1} | ({"probe_epochs": 1} if kind == "style_ae" else {})
    settings = KINDS[kind](style_layers=style_layers, **small)
    data = fake_data(FakeGenerator(w_dim=generator.w_dim), FakeLabeler(), 100)
    editor = editor_class(kind).build(settings, data, fake_context(FakeGenerator(w_dim=generator.w_dim)), 0)
    random = torch.Generator().manual_seed(0)
    for parameter in editor.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=random) * 0.2)
    return editor.to(next(generator.buffers()).dtype).requires_grad_(False)


@pytest.mark.parametrize("num_ws", [1, 2, 4, 10, 14, 18, 26])
def test_every_range_has_a_layer_and_neighbours_leave_none_out(num_ws):
    layers = list(range(num_ws))
    for first in range(18):
        for last in range(first, 18):
            found = layers[layer_slice((first, last), num_ws)]
            assert found
            if num_ws == 18:
                assert found == list(range(first, last + 1))
            elif last < 17:
                assert layers[layer_slice((last + 1, 17), num_ws)][0] <= found[-1] + 1
    assert layers[layer_slice((0, 17), num_ws)] == layers


def test_layers_outside_the_range_stay():
    w, editor = styles(5), restricted(leak=0.5)
    ws = editor.edit_styles(w, "age", torch.linspace(-2, 2, 5), LAYERS)
    assert ws.shape == (5, LAYERS, WIDTH)
    edited = editor.edit(w, "age", torch.linspace(-2, 2, 5))
    for layer in range(LAYERS):
        assert torch.equal(ws[:, layer], edited if layer in (1, 2) else w)


def test_an_attribute_without_a_range_keeps_whole_styles():
    w, editor = styles(5), restricted()
    assert torch.equal(editor.edit_styles(w, "gender", 0.7, LAYERS), editor.edit(w, "gender", 0.7))


def test_names_that_the_editor_lacks_have_no_effect():
    editor = restricted()
    editor.style_layers = {"moustache": (0, 0)}
    assert not editor.restricted
    assert editor.edit_rows(styles(2), torch.tensor([0, 1]), torch.ones(2), LAYERS).shape == (2, WIDTH)


def test_a_class_has_the_range_of_its_attribute():
    editor = StyleAE(("pet.cat", "pet.dog", "age"), 4, 4, visible=False, style_layers={"pet": (0, 8)})
    w = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ws = editor.edit_styles(w, "pet.dog", 1.0, 2)
    assert editor.restricted
    assert torch.equal(ws[:, 1], w) and not torch.equal(ws[:, 0], w)


@pytest.mark.parametrize("attribute", NAMES)
def test_layers_that_differ_are_edited_each_by_itself(attribute):
    ws, editor, strength = layered(4), restricted(leak=0.5), torch.linspace(-1, 2, 4)
    expected = ws.clone()
    for layer in {"gender": range(LAYERS), "age": (1, 2), "smile": (2, 3)}[attribute]:
        expected[:, layer] = editor.edit(ws[:, layer], attribute, strength)
    assert torch.equal(editor.edit_styles(ws, attribute, strength, LAYERS), expected)


def test_equal_layers_are_edited_once(monkeypatch):
    editor, rows = restricted(), []
    plain = Mover.edit
    monkeypatch.setattr(Mover, "edit", lambda self, w, *how: rows.append(len(w)) or plain(self, w, *how))
    ws = editor.edit_styles(styles(5), "smile", 1.0, LAYERS)  # whole styles
    ws = editor.edit_styles(ws, "smile", 1.0, LAYERS)  # layers 2 and 3 are alike
    ws = editor.edit_styles(ws, "age", 1.0, LAYERS)  # layers 1 and 2 are not
    editor.edit_styles(ws, "gender", 1.0, LAYERS)  # 0, 1, 2, 3, and 4 with 5
    assert rows == [5, 5, 10, 25]


def test_rows_get_their_own_attributes_and_strengths():
    w, editor, column = styles(6), restricted(), torch.tensor([0, 1, 2, 2, 1, 0])
    strength = torch.linspace(-2, 2, 6)
    found = editor.edit_rows(w, column, strength, LAYERS)
    for n in range(6):
        alone = editor.edit_styles(w[n : n + 1], NAMES[column[n]], float(strength[n]), LAYERS)
        torch.testing.assert_close(found[n], alone[0].expand(LAYERS, -1))
    assert torch.equal(editor.edit_rows(found[:0], column[:0], strength[:0], LAYERS), found[:0])


def test_gradients_go_through_restricted_edits():
    ws = layered(2).requires_grad_()
    (gradient,) = torch.autograd.grad(restricted().edit_styles(ws, "age", 1.0, LAYERS).sum(), ws)
    assert torch.equal(gradient, torch.ones_like(ws))


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_range_gives_the_images_of_whole_edits(kind):
    generator = frozen().double()
    editor = rough(kind, generator, {"age": (0, 17)})
    w = generator.mapping(torch.randn(4, generator.z_dim).double())
    ws = editor.edit_styles(w, "age", 1.5, generator.num_ws)
    whole = editor.edit(w, "age", 1.5)
    assert torch.equal(ws, generator.broadcast(whole))
    synthesize = generator.prepare(torch.float64)
    torch.testing.assert_close(synthesize(ws), synthesize(whole), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [FakeGenerator, frozen], ids=["by default", "stylegan2"])
def test_generators_take_styles_of_either_shape(make):
    generator = make().double()
    w, ws = (
        torch.randn(3, generator.w_dim).double(),
        torch.randn(3, generator.num_ws, generator.w_dim).double(),
    )
    for synthesize in (generator.synthesize, generator.prepare(torch.float64)):
        torch.testing.assert_close(synthesize(w), synthesize(generator.broadcast(w)), rtol=0, atol=1e-12)
        torch.testing.assert_close(synthesize(ws), generator.synthesis(ws), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_ranges_are_saved_with_the_editor(kind, tmp_path):
    editor = rough(kind, FakeGenerator(), {"age": (4, 7)})
    save_editor(editor, tmp_path)
    loaded, w = load_editor(tmp_path), styles(3).repeat(1, 3)[:, :16]
    assert loaded.style_layers == {"age": (4, 7)}
    with torch.no_grad():
        assert torch.equal(loaded.edit_styles(w, "age", 1.0, 18), editor.edit_styles(w, "age", 1.0, 18))


@pytest.mark.parametrize("cls", KINDS.values())
def test_ranges_come_from_lists_in_the_parameters(cls):
    built = build_section(cls, {"style_layers": {"age": [4, 7]}})
    assert built.style_layers == {"age": (4, 7)}
    assert cls().style_layers == {}


@pytest.mark.parametrize("cls", KINDS.values())
@pytest.mark.parametrize("places", [[4], [7, 4], [-1, 3], [4, 18], [1, 2, 3], [1, 2.5], 4, "47"])
def test_what_is_no_range_is_refused(cls, places):
    with pytest.raises(SectionError, match=r"style_layers\.age") as caught:
        build_section(cls, {"style_layers": {"smile": [0, 17], "age": places}})
    assert "got" in str(caught.value)


def test_styleflow_with_ranges_is_styleflow_otherwise():
    plain, layers = (
        build_section(StyleFlowParams, yaml.safe_load((CONF / f"{name}.yaml").read_text())[name])
        for name in ("styleflow", "styleflow_layers")
    )
    assert layers.style_layers["beard"] == (5, 9)
    assert plain == StyleFlowParams() == dataclasses.replace(layers, style_layers={})
