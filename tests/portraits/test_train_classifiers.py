"""The classifiers' recipe: what is shown, what is paid for, and that a killed run goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import PipelineError
from pipeline.labelers import load_embedder, load_labeler
from pipeline.weights import weights_digest
from portraits import renders, tasks, train_classifiers
from portraits.factors import ATTRIBUTES, FACTORS, INDEX, NUISANCES, D
from portraits.recipes import ROLES, Recipe, load_recipe
from portraits.renders import PERSON, Renders, draw_factors, draw_pairs, open_renders, write_renders
from portraits.tasks import attribute_loss, augment, build_task, contrastive_loss
from portraits.train_classifiers import train

RECIPE = Recipe(count=48, seed=5, epochs=2, batch_size=8, learning_rate=2e-3)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are held out and rendered at once."""
    for module in (renders, train_classifiers):
        monkeypatch.setattr(module, "HELD_OUT", 16)
    monkeypatch.setattr(renders, "CHUNK", 16)


def correlation(factors: torch.Tensor, a: str, b: str) -> float:
    return torch.corrcoef(factors[:, [INDEX[a], INDEX[b]]].T)[0, 1].item()


def test_every_role_has_its_own_seed() -> None:
    assert len({load_recipe(role).seed for role in ROLES}) == len(ROLES)


def test_a_misspelt_recipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("classifiers: {judge: {count: 10, sed: 1}}")
    with pytest.raises(PipelineError, match=r"expected the keys .*'seed'.*, got \['count', 'sed'\]"):
        load_recipe("judge", path)


def test_half_of_the_portraits_break_every_correlation() -> None:
    factors = draw_factors(8000, seed=0)
    assert correlation(factors[0::2], "gender", "beard") > 0.5
    assert abs(correlation(factors[1::2], "gender", "beard")) < 0.05


def test_broken_correlations_keep_the_distribution_of_each_factor() -> None:
    factors = draw_factors(8000, seed=0)
    assert torch.allclose(factors[0::2].mean(dim=0), factors[1::2].mean(dim=0), atol=0.05)


def test_a_pair_is_one_person_with_other_attributes_in_another_scene() -> None:
    factors = draw_pairs(200, seed=0)
    same = (factors[0::2] == factors[1::2]).all(dim=0)
    assert {f.name for f, kept in zip(FACTORS, same, strict=True) if kept} == set(PERSON) < set(NUISANCES)


def test_renders_are_resumed_to_the_same_bytes(tmp_path: Path, small: None) -> None:
    write_renders("judge", 48, 0, tmp_path / "whole")
    whole = (tmp_path / "whole/judge" / renders.IMAGES).read_bytes()
    write_renders("judge", 48, 0, tmp_path / "killed")
    done = tmp_path / "killed/judge" / renders.IMAGES
    (done.parent / renders.PARTIAL).write_bytes(whole[:200_001])  # in the middle of a picture
    done.unlink()
    write_renders("judge", 48, 0, tmp_path / "killed")
    assert done.read_bytes() == whole


def test_renders_of_another_seed_replace_the_old_ones(tmp_path: Path, small: None) -> None:
    write_renders("judge", 16, 0, tmp_path)
    before = open_renders("judge", tmp_path).batch(torch.arange(16))
    write_renders("judge", 16, 1, tmp_path)
    assert not torch.equal(open_renders("judge", tmp_path).batch(torch.arange(16)), before)


def test_missing_renders_are_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="run python -m portraits.renders judge"):
        open_renders("judge", tmp_path)


def test_augmentation_keeps_shape_and_place_and_depends_on_the_generator_alone() -> None:
    img = F.interpolate(torch.rand(4, 3, 4, 4) * 2 - 1, scale_factor=4.0, mode="nearest")
    first, again = (augment(img, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == img.shape
    assert torch.corrcoef(torch.stack([first.flatten(), img.flatten()]))[0, 1] > 0.9


def test_a_perfect_reading_costs_nothing() -> None:
    factors = draw_factors(64, seed=0)
    binary = torch.tensor([f.kind == "binary" for f in FACTORS])
    perfect = torch.where(binary, (factors - 0.5).sign() * 100, factors)
    assert attribute_loss(perfect, factors, torch.ones(D)) < 1e-6
    assert attribute_loss(-perfect, factors, torch.ones(D)) > 1


def test_the_contrastive_loss_prefers_pairs_that_agree() -> None:
    people = F.normalize(torch.randn(8, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    pairs = people.repeat_interleave(2, dim=0)
    assert contrastive_loss(pairs) < contrastive_loss(pairs.roll(1, dims=0))


def test_batches_keep_pairs_together() -> None:
    task = build_task("identity", 0, draw_pairs(64, seed=0))
    rows = torch.cat(list(task.batches(64, 16, torch.Generator().manual_seed(0))))
    assert torch.equal(rows[1::2], rows[0::2] + 1)
    assert torch.equal(rows.sort().values, torch.arange(64))


@pytest.mark.parametrize("role", ROLES)
def test_a_few_portraits_can_be_learned(role: str) -> None:
    factors = (draw_pairs if role == "identity" else draw_factors)(8, seed=0)
    task = build_task(role, 0, factors).train()
    img = renders.render(factors)
    optimizer = torch.optim.AdamW(task.parameters(), lr=4e-3)
    losses = []
    for _ in range(8):
        loss = task(img, factors)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_continuous_outputs_come_in_the_factors_own_unit() -> None:
    factors = draw_factors(64, seed=0)
    network = build_task("judge", 0, factors).network
    age, gender = INDEX["age"], INDEX["gender"]
    assert torch.allclose(network.shift[age], factors[:, age].mean())
    assert network.scale[gender] == 1
    assert network.shift[gender] == 0


@pytest.mark.parametrize("role", ["judge", "identity"])
def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, small: None, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_renders(role, RECIPE.count, RECIPE.seed, tmp_path)
    whole = train(role, RECIPE, tmp_path, tmp_path / "whole")

    save, epochs = train_classifiers._save, []

    def save_then_die(checkpoint: Path, recipe: Recipe, epoch: int, parts: dict[str, object]) -> None:
        save(checkpoint, recipe, epoch, parts)
        epochs.append(epoch)
        if len(epochs) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_classifiers, "_save", save_then_die)
    with pytest.raises(KeyboardInterrupt):
        train(role, RECIPE, tmp_path, tmp_path / "resumed")
    assert train(role, RECIPE, tmp_path, tmp_path / "resumed") == whole
    assert epochs == [1, 2]
    assert weights_digest(tmp_path / "resumed" / role) == weights_digest(tmp_path / "whole" / role)


def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path: Path) -> None:
    task = build_task("identity", 0, draw_pairs(16, seed=0))
    train_classifiers._save(tmp_path / "checkpoint.pt", RECIPE, 1, {"task": task})
    assert train_classifiers._resume(tmp_path / "checkpoint.pt", RECIPE, {"task": task}) == 1
    assert train_classifiers._resume(tmp_path / "checkpoint.pt", replace(RECIPE, seed=6), {"task": task}) == 0


def test_trained_folders_are_what_the_pipeline_reads(tmp_path: Path, small: None) -> None:
    recipe = replace(RECIPE, count=24, epochs=1)
    for role in ("labeler", "identity"):
        write_renders(role, recipe.count, recipe.seed, tmp_path)
        train(role, recipe, tmp_path, tmp_path / "out")
    labeler = load_labeler(tmp_path / "out/labeler", ["smile", *ATTRIBUTES[:7]])
    img = open_renders("labeler", tmp_path).batch(torch.arange(2))
    assert labeler(img).shape == (2, 8)
    assert load_embedder(tmp_path / "out/identity")(img).shape == (2, 64)


def test_identity_is_scored_on_people_who_share_no_factor() -> None:
    factors = draw_pairs(40, seed=1)
    task = build_task("identity", 0, factors).eval()
    pictures = renders._pixels(factors)
    scores = task.score(Renders(pictures, factors), torch.arange(40))
    assert scores["people"] == 20
    assert 0 <= scores["auc"] <= 1
    assert tasks.in_batches(task.network, Renders(pictures, factors), torch.arange(40)).shape == (40, 64)
