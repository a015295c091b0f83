"""Edits of some layers, wherever edits become images: the bench, pictures, the server, the command line."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.types.schema import Array
from PIL import Image

from pipeline import bench as bench_module
from pipeline import publishing, registry
from pipeline.cli import edit as cli
from pipeline.comparing import pictures
from pipeline.comparing.failures import Failure
from pipeline.editors import StyleAE, save_editor
from pipeline.metrics.realism import Mahalanobis
from pipeline.pixels import to_pixels
from pipeline.serving_model import EditorModel
from pipeline.trials import sequence
from tests.banded_world import LAYERS, SHARE, Banded, Turned, restricted
from tests.linear_world import FOLDERS, GAIN, PROTOCOL, Mover, Person, Reader, fill_world, styles
from tests.tiny import make_tiny_project


@pytest.fixture
def bench(monkeypatch):
    """The bench on the banded world."""
    fill_world(monkeypatch, restricted())
    networks = {"labeler": Turned(Reader()), "judge": Turned(Reader(gain=GAIN))}
    monkeypatch.setattr(bench_module, "load_generator", lambda folder, device: Banded())
    monkeypatch.setattr(bench_module, "load_labeler", lambda folder, attributes, device: networks[folder])
    monkeypatch.setattr(bench_module, "load_embedder", lambda folder, device: Turned(Person()))
    return bench_module.Bench(FOLDERS)


def test_matched_edits_need_more_strength_in_fewer_layers(bench):
    w = styles(8)
    protocol = dataclasses.replace(PROTOCOL, batch=7)  # batches of attributes with and without a range
    found = bench.measure(w, protocol)
    needed = np.array([1.0, 1 / SHARE, 1 / SHARE])
    assert found["reached"].all()
    np.testing.assert_allclose(np.abs(found["strength"][:, 0, 0]), needed + np.zeros((8, 3)), rtol=0.021)
    after = np.take_along_axis(found["after"][:, 0, 0], np.arange(3)[None, :, None], axis=2)[..., 0]
    np.testing.assert_allclose(np.abs(after - found["before"]), GAIN, rtol=0.021)


def test_the_distance_from_the_training_styles_is_the_mean_over_layers(bench):
    found = bench.measure(styles(4), PROTOCOL)
    for n, w in enumerate(styles(4).double().numpy()):
        for k in range(3):
            edited = w.copy()
            edited[k] += found["strength"][n, 0, 0, k]
            share = 1.0 if k == 0 else SHARE
            expected = share * np.linalg.norm(edited) + (1 - share) * np.linalg.norm(w)
            assert found["style_distance"][n, 0, 0, k] == pytest.approx(expected, rel=1e-5)


def test_whole_styles_have_the_distance_of_the_manifold():
    rows = styles(9).double().numpy()
    manifold = Mahalanobis.fit(styles(40, seed=3).numpy())
    protocol = dataclasses.replace(PROTOCOL, manifold=manifold)
    assert np.array_equal(protocol.distance(rows), manifold(rows))


def test_a_sequence_keeps_what_earlier_edits_did_to_other_layers(bench):
    w = styles(6)
    found = sequence(bench, w, PROTOCOL, [1, 2], 1.0)
    assert found["reached"].all()
    side = found["direction"] / SHARE  # strengths, up to the tolerance
    expected = torch.stack([w] * LAYERS, dim=1).double()
    expected[:, 1:3, 1] += torch.from_numpy(side[:, :1])
    expected[:, 2:4, 2] += torch.from_numpy(side[:, 1:])
    pixels = to_pixels(Banded().synthesize(expected)).astype(int)
    assert np.abs(found["pixels"].astype(int) - pixels).max() <= 1  # 3 · 2 % of 1 / 20 is less than a level


def test_failures_are_drawn_with_the_layers_that_were_edited(monkeypatch):
    editor, w = restricted(), styles(2)
    monkeypatch.setattr(pictures, "load_editor", lambda folder: editor)
    painter = pictures.Painter(Banded(), dict(enumerate(w.numpy())))
    before, after = painter("folder", [Failure(0, 1, 1, 2.0), Failure(1, 0, -1, -1.5)])
    changed = (before != after).any(axis=3)
    assert set(np.argwhere(changed[0])[:, 0]) == {2, 3, 4, 5} and set(np.argwhere(changed[0])[:, 1]) == {2, 3}
    assert changed[1, :, :2].all() and not changed[1, :, 2:].any()


def test_a_served_editor_answers_with_per_layer_styles():
    model, w = EditorModel(), styles(2)
    model.editor, model.generator = restricted(), Banded()
    rows = pd.DataFrame({"w": w.tolist(), "age": [2.0, 0.0], "smile": [0.0, 0.0]})
    answer = model.predict(None, rows, {"return_images": True})
    found = torch.tensor(answer["w"].tolist())
    torch.testing.assert_close(found[1], w[1].expand(LAYERS, -1))
    torch.testing.assert_close(found[0, 1:3, 1], w[0, 1].expand(2) + 2)
    assert torch.equal(found[0, 3:], w[0].expand(3, -1)) and answer["image"].notna().all()


def test_the_signature_of_a_served_editor_says_which_styles_it_gives():
    def edited(editor):
        return registry._signature(editor).outputs.input_dict()["w"].type

    assert edited(restricted()) == Array(edited(Mover()))


def test_boards_show_the_layers_that_are_edited(monkeypatch):
    boards = {}
    monkeypatch.setattr(publishing, "_test_styles", lambda labels, count: styles(1))
    monkeypatch.setattr(publishing, "mosaic", lambda pixels: pixels[0, 0])
    monkeypatch.setattr(
        publishing.mlflow, "log_image", lambda image, key, step: boards.update({(key, step): image})
    )
    client = SimpleNamespace(list_artifacts=lambda run, path: [])
    nobody = SimpleNamespace(evaluate=SimpleNamespace(faces=1), labels=None)
    publishing._log_pictures(client, "run", nobody, nobody, restricted(), Banded())
    changed = (boards["age", 6] != boards["age", 3]).any(axis=2)
    assert set(np.argwhere(changed)[:, 0]) == {2, 3, 4, 5}


def test_the_command_draws_the_layers_that_are_edited(tmp_path, monkeypatch):
    make_tiny_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    params = cli.load_params()
    generator = cli.load_generator(params.generator.weights)
    name = params.labeler.attributes[0]
    editor = StyleAE(params.labeler.attributes, generator.w_dim, generator.w_dim, visible=False)
    editor.style_layers = {name: (0, 2)}
    save_editor(editor, "models/toy")
    cli.edit("models/toy", 7, [(name, 5.0)], tmp_path / "edit.png")
    w = cli.draw_styles(generator, 7, [0], params.generator.truncation_psi, params.generator.class_label)
    with torch.no_grad():
        ws = generator.broadcast(w).clone()
        ws[:, :1] = editor.edit(w, name, 5.0)[:, None]
        expected = cli._picture(generator.synthesize(torch.cat([generator.broadcast(w), ws])))
    assert np.array_equal(np.asarray(Image.open("edit.png")), np.asarray(expected))
