"""Distillation: the corpus, the losses, and a trainer that learns and resumes bit for bit."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.generators import StyleGAN2, load_generator
from portraits.corpus import Corpus, factors_of_z, open_corpus, rotation, sample_z, write_corpus
from portraits.distill import fresh_generator, parse_phase, train
from portraits.distiller import BATCH, Distiller, Phase, learning_rate
from portraits.factors import D, factors_from_normals
from portraits.losses import distillation_loss, edge_weight, psnr
from portraits.renderer import render

COUNT, HELD_OUT = 160, 32


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    z = sample_z(COUNT, seed=5)
    picture = render(factors_of_z(z), 16).add(1).mul(127.5).round().byte()
    return Corpus(z, picture.permute(0, 2, 3, 1).numpy(), HELD_OUT)


def distiller(corpus: Corpus, *phases: Phase) -> Distiller:
    generator = fresh_generator(16, {4: 8, 8: 8, 16: 8})
    return Distiller(corpus, phases or [Phase(8, 8 * BATCH), Phase(16, 4 * BATCH)], generator)


def parameters(distiller: Distiller) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in distiller.generator.state_dict().items()}


def test_rotation_is_orthogonal() -> None:
    torch.testing.assert_close(rotation(D) @ rotation(D).t(), torch.eye(D), atol=1e-6, rtol=0)


def test_factors_do_not_depend_on_the_length_of_z() -> None:
    z = sample_z(10, seed=1)
    torch.testing.assert_close(factors_of_z(z), factors_of_z(3 * z))


def test_factors_of_z_are_distributed_like_factors_of_normals() -> None:
    z = sample_z(4000, seed=1)
    torch.testing.assert_close(
        factors_of_z(z).mean(dim=0), factors_from_normals(z).mean(dim=0), atol=0.04, rtol=0
    )


def test_more_noise_begins_with_the_same_rows() -> None:
    assert torch.equal(sample_z(250, seed=2)[:120], sample_z(120, seed=2))


def test_a_corpus_is_resumed_and_equals_the_renderer(tmp_path: Path) -> None:
    write_corpus(tmp_path, 200, seed=3, resolution=8, workers=1)
    done = np.memmap(tmp_path / "done.u8", np.uint8, "r+")
    images = np.memmap(tmp_path / "images.u8", np.uint8, "r+")
    images[: len(images) // 2] = 0
    done[0] = 0
    with pytest.raises(PipelineError, match="whole corpus"):
        open_corpus(tmp_path)
    write_corpus(tmp_path, 200, seed=3, resolution=8, workers=1)
    z, target = open_corpus(tmp_path, held_out=100).batch(torch.tensor([7, 130]), 8)
    torch.testing.assert_close(target, render(factors_of_z(z), 8), atol=1.01 / 255, rtol=0)


def test_lower_resolutions_are_area_averages(corpus: Corpus) -> None:
    rows = torch.arange(4)
    fine, coarse = corpus.batch(rows, 16)[1], corpus.batch(rows, 8)[1]
    torch.testing.assert_close(coarse, fine.unflatten(3, (8, 2)).unflatten(2, (8, 2)).mean(dim=(3, 5)))


def test_the_loss_is_zero_for_equal_pictures_alone() -> None:
    target = torch.rand(2, 3, 16, 16)
    assert distillation_loss(target, target) == 0
    assert distillation_loss(target + 0.01, target) > 0


def test_the_face_weighs_more_than_the_corners() -> None:
    weight = edge_weight(torch.zeros(1, 3, 64, 64))[0, 0]
    assert weight[34, 32] > 4 * weight[0, 0]


def test_edges_weigh_more_and_the_mean_weight_is_one() -> None:
    target = torch.zeros(1, 3, 16, 16)
    target[:, :, :, 8:] = 1.0
    weight = edge_weight(target)
    assert weight[0, 0, 8, 8] > 2 * weight[0, 0, 8, 4]
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))


def test_psnr_of_a_known_error() -> None:
    target = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(psnr(target + 0.2, target), torch.tensor([20.0]))


def test_the_learning_rate_warms_up_holds_and_falls_to_zero_in_the_last_phase() -> None:
    rates = [learning_rate(progress, 100_000, last=True) for progress in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([4e-3, 2e-3, 0.0])
    assert learning_rate(0.0, 0, last=True) < 1e-4
    assert learning_rate(1.0, 100_000, last=False) == pytest.approx(4e-3)


def test_a_fresh_generator_is_grey_at_every_resolution() -> None:
    generator = fresh_generator(16, {4: 8, 8: 8, 16: 8})
    assert generator.synthesize(generator.mapping(sample_z(2, 0))).abs().max() == 0


def test_training_lowers_the_loss(corpus: Corpus) -> None:
    run = distiller(corpus, Phase(8, 70 * BATCH))
    losses = []
    while not run.done:
        losses.append(run.step())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_a_resumed_run_ends_with_the_same_bits(corpus: Corpus, tmp_path: Path) -> None:
    whole, first, second = distiller(corpus), distiller(corpus), distiller(corpus)
    while not whole.done:
        whole.step()
    for _ in range(9):  # into the second phase
        first.step()
    torch.save(first.state(), tmp_path / "checkpoint.pt")
    second.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    while not second.done:
        second.step()
    expected, found = parameters(whole), parameters(second)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_training_leaves_a_generator_with_its_mean_style_and_a_history(
    corpus: Corpus, tmp_path: Path
) -> None:
    run = distiller(corpus)
    train(run, tmp_path / "generator", tmp_path, every=1e9)
    loaded = load_generator(tmp_path / "generator")
    assert isinstance(loaded, StyleGAN2)
    torch.testing.assert_close(loaded.w_avg, loaded.mapping(sample_z(10_000, 1_234)).mean(dim=0))
    assert [line.split(",")[0] for line in (tmp_path / "history.csv").read_text().splitlines()[1:]] == [
        "8",
        "16",
    ]
    assert (tmp_path / "checkpoint.pt").exists()


def test_phases_are_read_from_text() -> None:
    assert parse_phase("64:2000") == Phase(64, 2000, "images")
    assert parse_phase("64:90s") == Phase(64, 90, "seconds")
    with pytest.raises(argparse.ArgumentTypeError, match="RESOLUTION"):
        parse_phase("64")
