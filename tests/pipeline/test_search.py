"""The search: the same budget for everyone, no test latent, nothing done twice."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.__main__ import main
from pipeline.bench import Bench
from pipeline.cli.search import Budget, workshop
from pipeline.config import EditorParams, load_params
from pipeline.editors.peer_settings import RidgeParams
from pipeline.editors.settings import InterfaceGANParams, StyleAEParams
from pipeline.errors import PipelineError
from pipeline.searching import Marks, Outcome, Space, Workshop, draw, load_space, search
from pipeline.sections import build_value
from tests.tiny import COLUMNS, fill_labels, fill_metric, make_tiny_project

ROOT = Path(__file__).parents[2]
PRESENT = StyleAEParams(layers=3, natural_weight=0.1, natural_scale={"age": 5.0})
SPACE = Space(settings={"layers": (1, 2, 3), "learning_rate": (1e-3, 1e-4)}, natural_factors=(0.1, 1.0, 10.0))


def outcome(score, **columns):
    """An outcome of this score, and of these scores of columns."""
    return Outcome(Marks(1.0, score, 1.0), {name: Marks(1.0, s, 1.0) for name, s in columns.items()}, 0.0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A tiny project with labels, metric and candidates, as the working directory."""
    monkeypatch.chdir(tmp_path)
    make_tiny_project(tmp_path, {"evaluate.tolerance": 0.3})
    fill_labels()
    fill_metric()
    (tmp_path / "conf/search").mkdir(parents=True)
    (tmp_path / "conf/editor").mkdir()
    (tmp_path / "conf/search/interfacegan.yaml").write_text("settings: {C: [0.01, 1.0], alpha: [0.1, 0.2]}\n")
    return tmp_path


def test_combinations_are_different_and_never_the_present_one():
    drawn = draw(SPACE.settings, PRESENT, 100, seed=0)
    assert len(drawn) == 5 and len({tuple(each.values()) for each in drawn}) == 5
    assert {"layers": 3, "learning_rate": 1e-3} not in drawn
    assert draw(SPACE.settings, PRESENT, 3, seed=0) == draw(SPACE.settings, PRESENT, 3, seed=0)
    assert all(len(draw(SPACE.settings, PRESENT, count, seed=3)) == count for count in range(6))


def test_the_score_counts_what_did_not_show_what_else_moved_and_who_changed():
    assert Marks(0.9, 0.2, 0.95).score == pytest.approx(0.1 + 0.2 + 0.05)
    assert Marks(0.0, math.nan, math.nan).score == math.inf


@pytest.mark.parametrize("trials", [1, 2, 5, 6, 8])
def test_no_search_takes_more_than_its_trials(trials):
    asked = []

    def attempt(settings):
        asked.append(settings)
        return outcome(1.0, age=1.0)

    tried = search(PRESENT, SPACE, attempt, trials, seed=0)
    assert asked[0] == PRESENT and len(tried) == len(asked) == trials
    assert sum(not each.natural_scale for each in asked) == (3 if trials > 5 else 0)


def test_each_attribute_gets_the_factor_that_is_best_for_its_own_edits():
    best = {"age": 1.0, "smile": 10.0}

    def attempt(settings):
        factor = settings.natural_weight / 0.1
        scores = {name: abs(math.log(factor / at)) for name, at in best.items()}
        return outcome(0.0 if settings.natural_scale == best else 1.0 + settings.layers, **scores)

    tried = search(PRESENT, SPACE, attempt, 10, seed=0)
    assert tried[-1].settings.natural_scale == best and tried[-1].settings.natural_weight == 0.1
    assert tried[-1].settings.layers == 1  # beside the best that was drawn


def test_every_kind_of_editor_has_candidates_within_its_ranges():
    kinds = set()
    texts = [path.read_text() for path in (ROOT / "conf/editor").glob("*.yaml")]
    editors = [values for text in texts for values in yaml.safe_load(text).values() if "kind" in values]
    for values in editors:
        settings = build_value(EditorParams, values)
        assert load_space(ROOT / f"conf/search/{settings.kind}.yaml", settings).settings
        kinds.add(settings.kind)
    assert {path.stem for path in (ROOT / "conf/search").glob("*.yaml")} == kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("settings: {alfa: [1.0]}", "alfa"),
        ("settings: {alpha: [-1.0]}", "expected a number at least 0"),
        ("settings: {alpha: []}", "settings.alpha: expected a list of values, got none"),
        ("candidates: {}", "candidates"),
        ("settings: [", "while parsing"),
    ],
)
def test_wrong_candidates_are_named(tmp_path, text, expected):
    (tmp_path / "ridge.yaml").write_text(text)
    with pytest.raises(PipelineError, match=expected):
        load_space(tmp_path / "ridge.yaml", RidgeParams())


def test_a_search_writes_an_editor_and_trains_nothing_twice(project, monkeypatch, capsys):
    assert main(["search", "interfacegan", "--trials", "3", "--faces", "2"]) == 0
    out = Path("conf/editor/interfacegan_tuned.yaml")
    first = out.read_text()
    (found,) = yaml.safe_load(first).items()
    assert found[0] == "interfacegan_tuned" and found[1]["kind"] == "interfacegan"
    assert InterfaceGANParams(**found[1]).confident_share == 0.2
    assert "3 trials" in first and capsys.readouterr().out.count("C=") >= 2
    monkeypatch.setattr(Workshop, "fit", lambda self, settings: pytest.fail("trained again"))
    assert main(["search", "interfacegan", "--trials", "3", "--faces", "2"]) == 0
    assert out.read_text() == first
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        main(["search", "interfacegan", "--trials", "3", "--faces", "2", "--rows", "20"])


def test_a_trial_may_train_on_fewer_latents_and_edits_as_far(project):
    whole, part = (workshop(load_params(), Budget(trials=1, rows=rows, faces=2)) for rows in (None, 20))
    assert len(part.train.w) == len(part.train.attrs) == 20 < len(whole.train.w)
    assert (part.train.w == whole.train.w[:20]).all() and (part.val.w == whole.val.w).all()
    assert (part.protocol.sigma, part.protocol.low) == (whole.protocol.sigma, whole.protocol.low)


def test_a_trial_edits_validation_latents_alone(project, monkeypatch):
    shop = workshop(load_params(), Budget(trials=1, faces=2))
    measure, seen = Bench.measure, []

    def spy(bench, w, protocol):
        seen.append(w)
        return measure(bench, w, protocol)

    monkeypatch.setattr(Bench, "measure", spy)
    settings = load_params().editor_settings("styleae")
    found = shop.attempt(settings)
    (w,) = seen
    assert len(w) == 2 and (w == shop.val.w[:2]).all()
    assert found == replace(shop.attempt(settings), seconds=found.seconds)
    assert tuple(found.columns) == COLUMNS


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("interfacegan", "--trials", "0"), "--trials 0"),
        (("interfacegan", "--faces", "0"), "--faces 0"),
        (("interfacegan", "--rows", "0"), "--rows 0"),
        (("nobody",), "unknown editor 'nobody'"),
        (("styleae",), "expected the candidates of 'style_ae', got no file"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(project, capsys, arguments, expected):
    assert main(["search", *arguments]) == 1
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
