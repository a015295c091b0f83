"""Inversion: pictures become the styles whose images are nearest to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.config import parse_params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.inversion import STARTS, Inverter, invert, read_pictures
from pipeline.metrics.realism import Mahalanobis
from pipeline.pixels import to_pixels
from pipeline.sampling import draw_styles
from portraits.pictures import draw_pictures, write_pictures

ROOT = Path(__file__).parents[2]
PORTRAITS = ROOT / "models/portraits64"
WIDTH, SIDE = 4, 8


def linear_generator(w):
    """Coordinate i of w is the brightness of rows 2 i and 2 i + 1."""
    return (w / 10).repeat_interleave(2, dim=1)[:, None, :, None].expand(-1, 3, -1, SIDE)


@pytest.fixture
def training():
    """Styles whose coordinates have very different means and widths."""
    normal = torch.randn(500, WIDTH, generator=torch.Generator().manual_seed(0))
    return normal * torch.tensor([3.0, 1.0, 0.5, 2.0]) + torch.tensor([1.0, 0.0, -2.0, 4.0])


def test_the_styles_of_a_linear_generator_are_found_again(training):
    manifold = Mahalanobis.fit(training.numpy())
    w, error = invert(linear_generator, linear_generator(training[:6]), training[6:8], manifold, 100)
    np.testing.assert_allclose(w, training[:6], atol=0.4)  # the pull shrinks them a little
    assert error.max() < 0.03


def test_what_pixels_do_not_show_stays_at_the_mean(training):
    manifold = Mahalanobis.fit(training.numpy())

    def blind(w):
        return linear_generator(w * torch.tensor([1.0, 1.0, 0.0, 1.0]))

    w, _ = invert(blind, blind(training[:4]), training[:0], manifold, 100)
    independent = training - training.mean(dim=0)
    correlation = (independent.T @ independent)[2] / (independent[:, 2].norm() * independent.norm(dim=0))
    assert correlation[[0, 1, 3]].abs().max() < 0.1
    np.testing.assert_allclose(w[:, 2], manifold.mean[2], atol=0.2)
    assert (w[:, 2] - training[:4, 2]).abs().max() > 0.3


@pytest.fixture(scope="module")
def portraits():
    """Training styles of the embedded generator, and pictures that it has drawn of others."""
    generator = load_generator(PORTRAITS / "generator")
    styles = draw_styles(generator, 0, range(400), 1.0)
    with torch.inference_mode():
        pictures = to_pixels(generator.synthesize(styles[[0, 2]]))
    return styles[100:].numpy(), pictures


def inverter_of(training, steps):
    manifold = Mahalanobis.fit(training)
    return Inverter(str(PORTRAITS / "generator"), training[:STARTS], manifold, steps, "cpu")


def test_the_embedded_generator_finds_its_own_pictures(portraits):
    training, pictures = portraits
    found = inverter_of(training, 40)({"pictures": pictures})
    start = inverter_of(training, 1)({"pictures": pictures})
    assert found["w"].shape == (2, 512)
    assert found["rmse"].max() < 0.05 < 0.15 < start["rmse"].min()
    assert Mahalanobis.fit(training)(found["w"]).max() < 1.5


def test_equal_pictures_give_equal_styles_whatever_comes_before(portraits):
    training, pictures = portraits
    inverter = inverter_of(training, 3)
    first = inverter({"pictures": pictures})
    inverter({"pictures": pictures[:1]})
    assert np.array_equal(first["w"], inverter({"pictures": pictures})["w"])


def test_the_committed_pictures_are_what_the_recipe_draws(tmp_path):
    committed = read_pictures(PORTRAITS / "pictures.npz", 64)
    assert committed.shape == (32, 64, 64, 3)
    assert np.abs(committed.astype(int) - draw_pictures()).max() <= 1
    write_pictures(tmp_path / "pictures.npz")
    assert np.array_equal(read_pictures(tmp_path / "pictures.npz", 64), draw_pictures())


def picture(width, height, level=100):
    return Image.fromarray(np.full((height, width, 3), level, np.uint8))


def test_a_folder_is_read_by_name_and_large_pictures_are_shrunk(tmp_path):
    picture(16, 16, 20).save(tmp_path / "b.png")
    picture(40, 40, 200).convert("RGBA").save(tmp_path / "a.PNG")
    picture(16, 16, 90).save(tmp_path / "c.jpeg")
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_pictures(tmp_path, 16)
    assert found.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(found.mean(axis=(1, 2, 3)), [200, 20, 90], atol=1)


def test_an_upright_picture_is_seen_upright(tmp_path):
    values = np.zeros((16, 16, 3), np.uint8)
    values[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    assert read_pictures(tmp_path, 16)[0, 12].mean() == 255


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: picture(20, 16).save(p / "a.png"),
            r"square picture of at least 16x16 .*20x16, in .*a\.png",
        ),
        (lambda p: picture(8, 8).save(p / "a.png"), r"at least 16x16 pixels, got 8x8"),
        (lambda p: (p / "a.png").write_bytes(b"no picture"), r"expected a PNG or JPEG .*a\.png: remove"),
        (lambda p: (p / "a.txt").write_text(""), r"expected pictures .*got none, in .*evaluate\.pictures"),
    ],
)
def test_other_pictures_are_refused_by_name(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(PipelineError, match=message):
        read_pictures(tmp_path, 16)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((1, 8, 8, 3))}, r"unsigned bytes, got float64 \[1, 8, 8, 3\]"),
        ({"pictures": np.zeros((8, 8, 3), np.uint8)}, r"unsigned bytes, got uint8 \[8, 8, 3\]"),
        ({"images": np.zeros((1, 8, 8, 3), np.uint8)}, r"with 'pictures', got KeyError"),
        ({"pictures": np.array([{}], object)}, r"with 'pictures', got ValueError"),
    ],
)
def test_other_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(PipelineError, match=message):
        read_pictures(tmp_path / "a.npz", 8)


def test_no_file_is_refused_with_the_key(tmp_path):
    with pytest.raises(PipelineError, match=r"got FileNotFoundError, in .*none\.npz: correct evaluate\.pic"):
        read_pictures(tmp_path / "none.npz", 8)


def test_settings_are_checked():
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["evaluate"] |= {"pictures": "photos", "inversion_steps": 0}
    with pytest.raises(PipelineError, match=r"evaluate\.inversion_steps: expected a number at least 1"):
        parse_params(yaml.safe_dump(values), "params.yaml")
