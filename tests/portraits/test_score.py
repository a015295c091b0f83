"""Scores are arithmetic that matches the libraries; the card holds what was measured."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy.linalg import sqrtm
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from pipeline.generators import StyleGAN2, load_generator
from pipeline.labelers import ConvEmbedder, load_labeler
from pipeline.weights import save_weights, write_atomic
from portraits.card import contact_sheet, meets_bar, model_card
from portraits.corpus import factors_of_z, sample_z
from portraits.factors import ATTRIBUTES, FACTORS, D
from portraits.measures import accuracy, auc, frechet_distance, spearman
from portraits.recipes import ROLES
from portraits.renders import PERSON
from portraits.score import draw_portraits, score_all, score_readings
from portraits.tasks import build_task
from portraits.train_classifiers import SCORES

RNG = np.random.default_rng(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(size=shape))


def test_spearman_matches_scipy() -> None:
    a = normal(200)
    b = a + normal(200)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_auc_matches_scikit_learn() -> None:
    same, different = normal(50) + 1, normal(80)
    truth = [1] * 50 + [0] * 80
    assert auc(same, different) == pytest.approx(roc_auc_score(truth, torch.cat([same, different])))


def test_frechet_distance_matches_the_matrix_square_root() -> None:
    x, y = normal(300, 5), 1.5 * normal(200, 5) + 0.3
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = (x.mean(dim=0) - y.mean(dim=0)).numpy()
    expected = gap @ gap + np.trace(cov_x + cov_y - 2 * sqrtm(cov_x @ cov_y).real)
    assert frechet_distance(x, y) == pytest.approx(expected)


def test_frechet_distance_of_a_set_to_itself_is_zero() -> None:
    x = normal(300, 5)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_accuracy_counts_logits_on_the_right_side() -> None:
    assert accuracy(torch.tensor([3.0, -1.0, 2.0, -9.0]), torch.tensor([0.9, 0.1, 0.2, 0.4])) == 0.75


@pytest.mark.parametrize(
    ("measure", "rendered", "generated", "met"),
    [
        ("accuracy", 0.99, 0.965, True),
        ("accuracy", 0.99, 0.955, False),
        ("spearman", 0.99, 0.905, True),
        ("spearman", 0.91, 0.895, False),
    ],
)
def test_bars(measure: str, rendered: float, generated: float, met: bool) -> None:
    assert meets_bar({"measure": measure, "rendered": rendered, "generated": generated}) is met


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks that have learned nothing."""
    folder = tmp_path_factory.mktemp("networks")
    torch.manual_seed(0)
    generator = StyleGAN2(z_dim=D, w_dim=16, num_layers=1, img_resolution=16, channels={4: 4, 8: 4, 16: 4})
    save_weights(folder / "generator", generator.state_dict(), generator.config())
    factors = factors_of_z(sample_z(20, 0))
    reading = {f.name: {"accuracy": 0.5, "spearman": 0.5} for f in FACTORS}
    moments = dict.fromkeys(("same_mean", "same_std", "different_mean", "different_std"), 0.0)
    likeness = {**moments, "auc": 0.5, "found_first": 0.0}
    for role in ROLES:
        network = build_task(role, 0, factors).network
        save_weights(folder / role, network.state_dict(), network.config())
        both = {"natural": reading, "shuffled": reading}
        held_out = {"people": 2, **likeness} if isinstance(network, ConvEmbedder) else both
        write_atomic(folder / role / SCORES, json.dumps({"rows": 4, **held_out}).encode())
    return folder


def test_the_card_is_written_from_the_scores(networks: Path) -> None:
    scores, _ = score_all(networks, count=20)
    card = model_card(scores)
    assert f"{scores['generator']['psnr']:.2f} dB" in card
    assert all(f"| {f.name} | 0.500 (0.500) | 0.500 (0.500) |" in card for f in FACTORS)
    assert all(f"\n| {name} | " in card for name in ATTRIBUTES)
    assert "{" not in card


def test_scores_are_plain_json(networks: Path) -> None:
    scores, _ = score_all(networks, count=20)
    assert json.loads(json.dumps(scores)) == scores


def test_a_generator_as_good_as_the_renderer_loses_nothing(networks: Path) -> None:
    portraits = draw_portraits(load_generator(networks / "generator"), count=20, seed=0)
    perfect = replace(portraits, generated=portraits.rendered)
    readings = score_readings(perfect, load_labeler(networks / "judge"), load_labeler(networks / "labeler"))
    assert all(reading["rendered"] == reading["generated"] for reading in readings.values())


def test_the_contact_sheet_shows_pairs_side_by_side() -> None:
    black, white = -torch.ones(4, 3, 8, 8), torch.ones(4, 3, 8, 8)
    picture = Image.open(io.BytesIO(contact_sheet(black, white)))
    assert picture.size == (4 * 2 * 8 * 2, 8 * 2)
    assert [picture.getpixel((x, 8)) for x in (8, 24)] == [(0, 0, 0), (255, 255, 255)]


def test_the_recipe_names_files_that_are_there() -> None:
    stages = yaml.safe_load(Path("portraits/dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        for path in stage.get("do", stage)["deps"]:
            if "$" not in path and not path.startswith(("portraits/made", "portraits/cache")):
                assert Path(path).exists(), f"{name}: {path}"


def test_the_recipe_never_writes_where_the_pipeline_reads() -> None:
    stages = yaml.safe_load(Path("portraits/dvc.yaml").read_text())["stages"]
    outs = [out for stage in stages.values() for out in stage.get("do", stage).get("outs", [])]
    assert not [out for out in outs if str(out).startswith("models")]


def test_a_person_is_no_attribute_and_no_scene() -> None:
    assert not set(PERSON) & {*ATTRIBUTES, "background_hue", "light", "shirt_hue"}
