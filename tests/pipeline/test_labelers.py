"""Classifiers and identity embeddings: shapes, selection by name, and every way a folder can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pipeline.attributes import Attribute
from pipeline.errors import PipelineError
from pipeline.labelers import ConvEmbedder, ConvNet, ResNet, load_embedder, load_labeler
from pipeline.weights import CONFIG, save_weights

ATTRIBUTES = (
    Attribute(name="glasses", kind="binary"),
    Attribute(name="age"),
    Attribute(name="hair", kind="categorical", classes=("none", "short", "long")),
    Attribute(name="expression", alias="smile"),
)
TINY = {
    "convnet": lambda: ConvNet(ATTRIBUTES, 16, (4, 4, 4, 4, 4)),
    "resnet": lambda: ResNet(ATTRIBUTES, 16, (4, 8), 1),
}
IMAGES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def saved(tmp_path: Path, architecture: str) -> tuple[ConvNet | ResNet, Path]:
    torch.manual_seed(0)
    network = TINY[architecture]().eval()
    save_weights(tmp_path, network.state_dict(), network.config())
    return network, tmp_path


@pytest.mark.parametrize("architecture", TINY)
def test_a_loaded_labeler_says_what_the_saved_one_said(tmp_path: Path, architecture: str) -> None:
    network, folder = saved(tmp_path, architecture)
    loaded = load_labeler(folder)
    assert loaded.attributes == ATTRIBUTES
    assert torch.equal(loaded(IMAGES), network(IMAGES))


@pytest.mark.parametrize("architecture", TINY)
def test_a_loaded_labeler_is_frozen_and_in_evaluation_mode(tmp_path: Path, architecture: str) -> None:
    loaded = load_labeler(saved(tmp_path, architecture)[1], ["age"])
    assert not any(p.requires_grad for p in loaded.parameters())
    assert not any(module.training for module in loaded.modules())


@pytest.mark.parametrize("architecture", TINY)
def test_there_is_one_output_for_each_column(tmp_path: Path, architecture: str) -> None:
    network, _ = saved(tmp_path, architecture)
    assert network.columns == ("glasses", "age", "hair.none", "hair.short", "hair.long", "expression")
    assert network(IMAGES).shape == (3, 6)


@pytest.mark.parametrize("architecture", TINY)
def test_selection_reorders_columns_and_knows_aliases(tmp_path: Path, architecture: str) -> None:
    network, folder = saved(tmp_path, architecture)
    chosen = load_labeler(folder, ["smile", "hair", "glasses"])
    assert chosen.columns == ("expression", "hair.none", "hair.short", "hair.long", "glasses")
    assert torch.equal(chosen(IMAGES), network(IMAGES)[:, [5, 2, 3, 4, 0]])


@pytest.mark.parametrize("architecture", TINY)
def test_images_of_another_size_are_averaged(tmp_path: Path, architecture: str) -> None:
    network, _ = saved(tmp_path, architecture)
    larger = F.interpolate(IMAGES, scale_factor=4, mode="nearest")
    assert torch.allclose(network(larger), network(IMAGES), atol=1e-5)


@pytest.mark.parametrize("architecture", TINY)
def test_an_image_is_read_alike_alone_and_in_a_batch(tmp_path: Path, architecture: str) -> None:
    network, _ = saved(tmp_path, architecture)
    alone = torch.cat([network(img[None]) for img in IMAGES])
    assert torch.allclose(alone, network(IMAGES), atol=1e-5)


@pytest.mark.parametrize("architecture", TINY)
def test_gradients_flow_to_the_image(tmp_path: Path, architecture: str) -> None:
    _, folder = saved(tmp_path, architecture)
    img = IMAGES.clone().requires_grad_()
    load_labeler(folder)(img).sum().backward()
    assert img.grad is not None
    assert img.grad.abs().sum() > 0


def test_outputs_are_in_the_attributes_own_units() -> None:
    network = TINY["convnet"]().eval()
    plain = network(IMAGES)
    network.shift.fill_(3.0)
    network.scale.fill_(2.0)
    assert torch.allclose(network(IMAGES), 2 * plain + 3, atol=1e-6)


def test_embeddings_are_unit_vectors_and_survive_the_disk(tmp_path: Path) -> None:
    network = ConvEmbedder(8, 16, (4, 4, 4, 4, 4)).eval()
    save_weights(tmp_path, network.state_dict(), network.config())
    code = load_embedder(tmp_path)(IMAGES)
    assert torch.equal(code, network(IMAGES))
    assert torch.allclose(code.norm(dim=1), torch.ones(3), atol=1e-6)


def test_a_missing_attribute_is_named_with_what_there_is(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "convnet")
    expected = (
        r"expected attribute 'glases', got a classifier with glasses, age, hair, expression.* mean 'glasses'"
    )
    with pytest.raises(PipelineError, match=expected):
        load_labeler(folder, ["age", "glases"])


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "convnet")
    rewrite(folder, architecture="vgg")
    with pytest.raises(
        PipelineError, match=r"expected a classifier architecture in \[.*'convnet', .*'resnet', .*got 'vgg'"
    ):
        load_labeler(folder)


def test_an_embedding_is_no_classifier(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "convnet")
    with pytest.raises(
        PipelineError, match=r"expected an identity architecture in \[.*'conv_embedder', .*got 'convnet'"
    ):
        load_embedder(folder)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "resnet")
    rewrite(folder, breadth=3)
    with pytest.raises(PipelineError, match=r"expected the arguments of 'resnet'.*breadth"):
        load_labeler(folder)


def test_weights_of_another_width_are_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path, "resnet")
    rewrite(folder, widths=[4, 12])
    with pytest.raises(PipelineError, match="expected tensor head.weight of shape"):
        load_labeler(folder)


def rewrite(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))
