"""``import-generator``: a foreign file becomes a network folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from pipeline.__main__ import main
from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2, load_generator
from pipeline.weights import save_weights, sha256
from tests.foreign import dump, nvidia_content, nvidia_generator

ROOT = Path(__file__).parents[2]
SAMPLES = "4"


@pytest.fixture(scope="module")
def portraits() -> StyleGAN2:
    generator = load_generator(ROOT / "models/portraits64/generator")
    assert isinstance(generator, StyleGAN2)
    return generator


def snapshot(generator: StyleGAN2) -> bytes:
    """What NVIDIA's training writes."""
    network = nvidia_generator(generator)
    return dump(nvidia_content({"G": network, "G_ema": network}))


@pytest.fixture
def pickled(tmp_path: Path, portraits: StyleGAN2) -> Path:
    """The embedded generator as NVIDIA would publish it."""
    path = tmp_path / "portraits.pkl"
    path.write_bytes(snapshot(portraits))
    return path


def run(*arguments: object) -> int:
    return main(["import-generator", *map(str, arguments)])


def test_a_pickle_becomes_a_folder_that_gives_the_same_images(
    pickled: Path, tmp_path: Path, portraits: StyleGAN2, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models/mine"
    assert run(pickled, "--out", out, "--samples", SAMPLES) == 0
    assert {path.name for path in out.iterdir()} == {"weights.safetensors", "config.json", "samples.png"}
    imported, w = load_generator(out), torch.randn(2, portraits.w_dim)
    assert torch.equal(imported.synthesize(w), portraits.synthesize(w))
    printed = capsys.readouterr().out
    for fact in ("64 × 64", "skip", "none: no fp16", "G_ema", "mapping", "samples.png: look at it"):
        assert fact in printed, fact


def test_the_configuration_says_where_it_comes_from(pickled: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    assert run(pickled, "--out", out, "--samples", 0, "--network", "G") == 0
    config = json.loads((out / "config.json").read_text())
    assert config["source"]["file"] == "portraits.pkl" and config["source"]["network"] == "G"
    assert config["source"]["sha256"] == hashlib.sha256(pickled.read_bytes()).hexdigest()
    assert config["files"] == {"weights.safetensors": sha256(out / "weights.safetensors")}
    assert (config["architecture"], config["img_resolution"]) == ("stylegan2", 64)
    assert not (out / "samples.png").exists()


def test_the_contact_sheet_shows_faces(pickled: Path, tmp_path: Path) -> None:
    assert run(pickled, "--out", tmp_path / "mine", "--samples", 5) == 0
    sheet = Image.open(tmp_path / "mine/samples.png")
    assert sheet.size == (3 * 132 + 2 * 8, 2 * 132 + 8)  # two rows of three places
    assert len(sheet.crop((0, 0, 132, 132)).getcolors(1 << 16)) > 500
    assert sheet.getpixel((2 * 140 + 66, 140 + 66)) == (255, 255, 255)  # the sixth place is empty


def test_a_conditional_checkpoint_of_another_project(tmp_path: Path) -> None:
    torch.manual_seed(0)
    conditional = StyleGAN2(z_dim=6, c_dim=3, w_dim=8, num_layers=2, img_resolution=16, channel_max=4)
    (tmp_path / "c.pkl").write_bytes(snapshot(conditional))
    assert run(tmp_path / "c.pkl", "--out", tmp_path / "c", "--samples", SAMPLES) == 0
    assert load_generator(tmp_path / "c").c_dim == 3


def test_what_is_in_the_way_stays(pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "photos"
    out.mkdir()
    (out / "holiday.jpg").write_text("kept")
    assert run(pickled, "--out", out) == 1
    assert "photos" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["holiday.jpg"]


def test_a_file_that_cannot_be_read_leaves_the_network_that_is_there(
    pickled: Path, tmp_path: Path, portraits: StyleGAN2, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    save_weights(out, portraits.state_dict(), portraits.config())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    pickled.write_bytes(pickled.read_bytes()[:-100])
    assert run(pickled, "--out", out) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "portraits.pkl" in error and error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "portraits.pkl"}


def test_an_imported_network_that_was_edited_is_refused(
    pickled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine"
    assert run(pickled, "--out", out, "--samples", 0) == 0
    with open(out / "weights.safetensors", "r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\1\2\3")
    with pytest.raises(PipelineError, match="weights.safetensors: the file is truncated or edited"):
        load_generator(out)
