"""Parameters: what is accepted, and what every refusal says."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli.compose import compose
from pipeline.config import load_params, parse_params
from pipeline.editors.flow_settings import PluGeNParams, StyleFlowParams
from pipeline.editors.peer_settings import (
    DisentanglerParams,
    MeanDifferenceParams,
    PartialEffectParams,
    RidgeParams,
)
from pipeline.editors.settings import InterfaceGANParams, StyleAEParams
from pipeline.errors import PipelineError

PORTRAITS = {
    "gender": 0.1,
    "glasses": 30.0,
    "yaw": 3.0,
    "pitch": 30.0,
    "baldness": 0.1,
    "beard": 30.0,
    "age": 60.0,
    "expression": 10.0,
}
ROOT = Path(__file__).parents[2]
GOOD = yaml.safe_load((ROOT / "params.yaml").read_text())


def parsed(**changes: Any) -> Any:
    """The committed parameters with some ``section__key`` values changed."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        section = values
        for key in path:
            section = section[key]
        section[last] = value
    return parse_params(yaml.safe_dump(values), "params.yaml")


def test_params_are_what_conf_composes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    compose(out=tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_overrides_compose_other_editors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    compose(["editor=[styleae,styleae_paper]", "cluster=auto", "sample.count=300"], tmp_path / "params.yaml")
    params = load_params(tmp_path / "params.yaml")
    assert list(params.editor) == ["styleae", "styleae_paper"]
    assert params.editor["styleae_paper"].reconstruction == "image"
    assert (params.cluster.address, params.sample.count) == ("auto", 300)


@pytest.mark.parametrize("path", sorted((ROOT / "conf/generator").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_generator_composes_and_says_where_it_comes_from(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    compose([f"generator={path.stem}"], tmp_path / "params.yaml")
    params = load_params(tmp_path / "params.yaml")
    assert params.generator.name == params.publish.experiment == path.stem
    if path.stem != "portraits64":
        for fact in (".pkl", "MB", "https://", "licence", "import-generator"):
            assert fact in path.read_text(), fact


def test_animals_compose_with_their_species_and_the_papers_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    groups = ["generator=afhqv2_512", "labeler=clip_afhq", "editor=[styleae,styleae_afhq]"]
    compose(groups, tmp_path / "params.yaml")
    params = load_params(tmp_path / "params.yaml")
    assert params.labeler.attributes == ("species",)
    assert params.editor["styleae_afhq"].repeats == 50


def test_a_refused_override_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "params.yaml").write_text("kept")
    with pytest.raises(PipelineError, match="sample.count"):
        compose(["sample.count=3"], tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "defaults"),
    [
        ("styleae", StyleAEParams(natural_weight=0.1, natural_scale=PORTRAITS)),
        ("interfacegan", InterfaceGANParams()),
        ("styleflow", StyleFlowParams()),
        ("plugen", PluGeNParams()),
        ("disentangler", DisentanglerParams(epochs=70, learning_rate=1e-3, schedule="cosine")),
        ("ridge", RidgeParams()),
        ("mean_difference", MeanDifferenceParams()),
        ("partial_effect", PartialEffectParams()),
    ],
)
def test_conf_spells_every_setting_of_an_editor_at_its_default(name: str, defaults: Any) -> None:
    spelt = yaml.safe_load((ROOT / f"conf/editor/{name}.yaml").read_text())[name]
    assert spelt == yaml.safe_load(yaml.safe_dump(_plain(dataclasses.asdict(defaults))))


def test_the_paper_recipe_spells_every_setting() -> None:
    spelt = yaml.safe_load((ROOT / "conf/editor/styleae_paper.yaml").read_text())["styleae_paper"]
    assert spelt.keys() == {field.name for field in dataclasses.fields(StyleAEParams)}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def test_values_arrive_typed() -> None:
    params = parsed(cluster__connect_timeout=3, cluster__label__gpus=0.25, evaluate__count="all")
    assert isinstance(params.cluster.connect_timeout, float)
    assert params.labeler.attributes[-1] == "expression"
    assert params.cluster.label.gpus == 0.25
    assert params.evaluate.count == "all"
    assert isinstance(params.editor["styleae"], StyleAEParams)


def test_the_number_of_workers_may_be_a_range() -> None:
    for workers in (3, "auto", [1, 4]):
        found = parsed(cluster__train__workers=workers).cluster.train.workers
        assert found == (tuple(workers) if isinstance(workers, list) else workers)


def test_moves_may_be_whole_numbers() -> None:
    assert parsed(evaluate__deltas=[1, 2]).evaluate.deltas == (1.0, 2.0)


def test_a_training_has_the_settings_of_its_editor_and_its_own_seed() -> None:
    params = parsed(train__seed=5)
    assert (
        params.editor_settings("styleae@3") is params.editor_settings("styleae") is params.editor["styleae"]
    )
    assert (params.seed_of("styleae@3"), params.seed_of("styleae")) == (3, 5)


def test_an_unknown_editor_is_refused_with_the_nearest() -> None:
    with pytest.raises(PipelineError, match=r"unknown editor 'stileae', .* did you mean 'styleae'\?"):
        parsed().editor_settings("stileae@3")


@pytest.mark.parametrize("name", ["styleae@", "styleae@one", "styleae@-1", "styleae@1@2"])
def test_a_seed_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(PipelineError, match="expected a seed after the @, such as styleae@1, got"):
        parsed().seed_of(name)


def test_an_exponent_without_a_point_is_a_number() -> None:
    assert parsed(editor__styleae__learning_rate="1e-4").editor["styleae"].learning_rate == 1e-4


def test_params_are_frozen_and_travel_to_workers() -> None:
    params = parsed()
    with pytest.raises(dataclasses.FrozenInstanceError):
        params.sample.count = 1
    assert pickle.loads(pickle.dumps(params)) == params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample__cuont": 5}, r"sample\.cuont: unknown key, did you mean 'count'\?"),
        ({"sampel": {}}, r"sampel: unknown key, did you mean 'sample'\?"),
        ({"cluster__label__actor": 1}, r"cluster\.label\.actor: unknown key, did you mean 'actors'\?"),
        ({"editor__styleae__epoch": 1}, r"editor\.styleae\.epoch: unknown key, did you mean 'epochs'\?"),
        ({"editor__styleae__kind": "style_aee"}, r"editor\.styleae\.kind: .* did you mean 'style_ae'\?"),
        ({"editor__styleae__kind": None}, r"editor\.styleae\.kind: unknown kind None"),
        (
            {"editor__interfacegan__binary": ["glases"]},
            r"editor\.interfacegan\.binary: .* did you mean 'glasses'\?",
        ),
        ({"editor": {}}, r"editor: expected at least one editor"),
        ({"sample__count": "many"}, r"sample\.count: expected a whole number, got 'many'"),
        ({"sample__count": 10.5}, r"sample\.count: expected a whole number, got 10\.5"),
        ({"sample__count": True}, r"sample\.count: expected a whole number, got True"),
        ({"sample__count": 3}, r"sample\.count: expected a number at least 20 .*, got 3"),
        ({"sample__seed": -1}, r"sample\.seed: expected a number at least 0"),
        ({"sample": 5}, r"sample: expected a section of keys, got 5"),
        (
            {"generator__truncation_psi": 0},
            r"generator\.truncation_psi: expected a number above 0 and at most 1",
        ),
        (
            {"generator__truncation_psi": float("nan")},
            r"generator\.truncation_psi: expected a number, got nan",
        ),
        ({"generator__weights": 5}, r"generator\.weights: expected text, got 5"),
        ({"label__precision": "fp8"}, r"label\.precision: expected 'fp32' or 'bf16' or 'fp16', got 'fp8'"),
        ({"labeler__attributes": "age"}, r"labeler\.attributes: expected a list, got 'age'"),
        ({"labeler__attributes": ["age", 5]}, r"labeler\.attributes\[1\]: expected text, got 5"),
        ({"labeler__attributes": ["age", "age"]}, r"labeler\.attributes: expected different names"),
        ({"labeler__judge": "models/portraits64/labeler"}, r"labeler\.judge: expected another classifier"),
        ({"evaluate__explorer_steps": 10}, r"evaluate\.explorer_steps: expected an odd number, got 10"),
        ({"evaluate__count": "most"}, r"evaluate\.count: expected a whole number or 'all', got 'most'"),
        (
            {"evaluate__deltas": [1.0, 0.5]},
            r"evaluate\.deltas: expected rising moves in \(0, 4\], 1 among them",
        ),
        ({"evaluate__deltas": [0.5, 2.0]}, r"evaluate\.deltas: .* 1 among them, got \[0\.5, 2\.0\]"),
        ({"evaluate__deltas": [1.0, 5.0]}, r"evaluate\.deltas: expected rising moves in \(0, 4\]"),
        ({"evaluate__deltas": []}, r"evaluate\.deltas: .*, got \[\]"),
        ({"evaluate__sides": "left"}, r"evaluate\.sides: expected 'other' or 'both', got 'left'"),
        ({"evaluate__outside_psi": 1.0}, r"evaluate\.outside_psi: expected a number above 1"),
        ({"evaluate__slider_faces": -1}, r"evaluate\.slider_faces: expected a number at least 0"),
        (
            {"evaluate__code": True, "evaluate__count": 19},
            r"evaluate\.code: expected a count of at least 20 for it, got 19",
        ),
        ({"compare__seeds": [1, 1]}, r"compare\.seeds: expected different seeds"),
        ({"compare__seeds": [-1]}, r"compare\.seeds: expected different seeds of at least 0"),
        ({"cluster__address": "localhost"}, r"cluster\.address: expected 'local', 'auto', 'host:port' or"),
        ({"cluster__address": "http://10.0.0.7:8265"}, r"cluster\.address: expected https:// to another"),
        ({"cluster__address": "https://me:word@ray.example"}, r"cluster\.address: expected no password"),
        ({"cluster__address": "http://127.0.0.1:8265"}, r"cluster\.storage: expected a place that"),
        ({"cluster__storage": "data"}, r"cluster\.storage: expected a URI such as s3://"),
        ({"cluster__storage": "ftp://host/x"}, r"cluster\.storage: .*got ftp://"),
        ({"cluster__storage": "s3://me:word@bucket"}, r"cluster\.storage: .*without a user and a password"),
        ({"train__rows": 0}, r"train\.rows: expected a number at least 1, got 0"),
        ({"tracking__uri": "https://me:word@mlflow.example"}, r"tracking\.uri: expected no password"),
        (
            {"tracking__uri": "postgresql://me:wo/rd@db/mlflow"},
            r"tracking\.uri: expected no password",
        ),
        ({"cluster__runtime_env": {"working_dir": "."}}, r"cluster\.runtime_env\.working_dir: unknown key"),
        (
            {"cluster__label__gpus": 1.5},
            r"cluster\.label\.gpus: expected whole GPUs, or a share of one, got 1\.5",
        ),
        ({"cluster__train__workers": [4, 1]}, r"cluster\.train\.workers: .*such as \[1, 4\], got \[4, 1\]"),
        ({"cluster__train__workers": [2]}, r"cluster\.train\.workers: expected the least and the most"),
        ({"cluster__train__workers": "all"}, r"cluster\.train\.workers: expected a whole number or 'auto'"),
        (
            {"cluster__train__workers": 2, "cluster__train__gpus": 0.5},
            r"cluster\.train\.gpus: expected whole GPUs for several workers, got 0\.5",
        ),
        ({"cluster__label__actors": "lots"}, r"cluster\.label\.actors: expected a whole number or 'auto'"),
        (
            {"editor__x; touch y": {"kind": "ridge"}},
            r"editor: expected a name of letters, .* got 'x; touch y'",
        ),
        ({"editor__../../x": {"kind": "ridge"}}, r"editor: expected a name of letters"),
        ({"publish__higher_is_better": "yes please"}, r"publish\.higher_is_better: expected true or false"),
    ],
)
def test_a_refusal_names_the_key_and_what_is_allowed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PipelineError, match=message) as refusal:
        parsed(**change)
    assert "in params.yaml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_missing_key_is_named() -> None:
    values = {**GOOD, "publish": {}}
    with pytest.raises(PipelineError, match=r"publish\.experiment: expected text, got nothing"):
        parse_params(yaml.safe_dump(values), "params.yaml")


@pytest.mark.parametrize("content", [b"sample: {count: [1", b"\xff\xfe\x00", b"just text", b""])
def test_a_file_that_is_no_parameter_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(PipelineError, match=r"expected .*params\.yaml"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"nowhere\.yaml: run `python -m pipeline compose`"):
        load_params(tmp_path / "nowhere.yaml")


def test_an_unknown_editor_gets_the_nearest_name() -> None:
    with pytest.raises(PipelineError, match="did you mean 'styleae'"):
        parsed().editor_settings("stylae")
