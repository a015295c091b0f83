"""``dvc.yaml`` names what each stage really uses: its script, the modules it imports, its folders."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from pipeline import paths
from pipeline.cli.compare import trainings_yaml
from pipeline.cli.compose import compose
from pipeline.config import load_params

ROOT = Path(__file__).parents[1]
STAGES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FOLDER = ROOT / "comparisons/peers"
PEERS: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "dvc.yaml").read_text())["stages"]
COMPARISONS = ("peers", "tuned", "seeds", "many")

# Modules that never change what a stage makes: how parameters are read (their values are dependencies), what
# people see, where stages run and files lie.
BESIDE = {
    f"pipeline/{name}.py"
    for name in (
        "__init__",
        "cluster",
        "config",
        "console",
        "editors/flow_settings",
        "editors/peer_settings",
        "editors/settings",
        "errors",
        "jobs/__init__",
        "jobs/running",
        "jobs/submitting",
        "jobs/watching",
        "local_head",
        "mlflow_store",
        "paths",
        "placement",
        "reporting",
        "resources",
        "sections",
        "storage",
        "tracking",
        "trees",
        "turns",
        "watchdog",
    )
}
# Read as files rather than imported.
LOADED = {"pipeline/explorer.html", "pipeline/serving_model.py"}
KINDS = {
    f"pipeline/editors/{kind}.py"
    for kind in (
        "disentangler",
        "interfacegan",
        "mean_difference",
        "partial_effect",
        "plugen",
        "ridge",
        "style_ae",
        "style_flow",
    )
}
# What editors import to be trained; a trained one is its tensors and its own file.
TRAINING = {f"pipeline/editors/{name}.py" for name in ("losses", "style_ae_training")} | {
    "pipeline/generators/low_rank.py",
    "pipeline/generators/pullback.py",
}


def body(name: str) -> dict[str, Any]:
    return STAGES[name].get("do", STAGES[name])


def module_file(module: str) -> str | None:
    """The file of a module of ours."""
    for path in (ROOT / f"{module.replace('.', '/')}.py", ROOT / module.replace(".", "/") / "__init__.py"):
        if module.partition(".")[0] == "pipeline" and path.is_file():
            return path.relative_to(ROOT).as_posix()
    return None


def imported(path: str) -> set[str]:
    """The files of ours that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    packages = {".".join(name.split(".")[:i]) for name in names for i in range(1, name.count(".") + 1)}
    return {file for name in names | packages if (file := module_file(name))}


def closure(stage: str) -> set[str]:
    """All files of ours that a stage imports, directly or not, without those that stand beside the work."""
    loaded = {file for file in LOADED if file.endswith(".py") and file in body(stage)["deps"]}
    found = {f"stages/{stage}.py", *loaded}
    waiting = [*found]
    while waiting:
        for file in imported(waiting.pop()) - found - BESIDE:
            found.add(file)
            waiting.append(file)
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_it_imports(stage: str) -> None:
    deps, needed = body(stage)["deps"], closure(stage)
    if "pipeline/editors/${item.kind}.py" in deps:
        needed -= KINDS
    if stage == "evaluate":
        needed -= TRAINING
    assert not {file for file in needed if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_code_that_it_does_not_import(stage: str) -> None:
    used = closure(stage) | {"pipeline/editors/${item.kind}.py"}
    code = [
        dep for dep in body(stage)["deps"] if dep.startswith(("pipeline/", "stages/")) and dep not in LOADED
    ]
    assert not [dep for dep in code if not any(file == dep or file.startswith(f"{dep}/") for file in used)]


def commands(given: dict[str, Any]) -> list[str]:
    """The commands of a stage, in order."""
    return given["cmd"] if isinstance(given["cmd"], list) else [given["cmd"]]


@pytest.mark.parametrize("stage", STAGES)
def test_script_command_and_stage_share_a_name(stage: str) -> None:
    assert commands(body(stage))[-1].split()[:3] == ["python", "-m", f"stages.{stage}"]
    assert (ROOT / f"stages/{stage}.py").is_file()


@pytest.mark.parametrize("file", ["dvc.yaml", "comparisons/peers/dvc.yaml"])
def test_names_are_looked_at_before_the_shell_sees_one(file: str) -> None:
    for stage in yaml.safe_load((ROOT / file).read_text())["stages"].values():
        first, *others = commands(stage.get("do", stage))
        if any("${" in command for command in (first, *others)):
            assert first.removeprefix("PYTHONPATH=../.. ") == "python -m pipeline.names"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("dvc.yaml", "x; touch owned"),
        ("dvc.yaml", "x$(touch owned)"),
        ("dvc.yaml", "x\ntouch owned"),
        ("comparisons/peers/dvc.yaml", "x; touch owned"),
    ],
)
def test_a_name_that_is_a_command_reaches_no_shell(tmp_path: Path, file: str, name: str) -> None:
    """DVC runs the commands of the stage in a folder of its own."""
    stage = yaml.safe_load((ROOT / file).read_text())["stages"]["train"]
    stage["do"] = {"cmd": [text.replace("../..", str(ROOT)) for text in stage["do"]["cmd"]]}
    for path, content in {
        "dvc.yaml": {"vars": ["trainings.yaml"], "stages": {"train": stage}},
        "params.yaml": {"editor": {name: {"kind": "ridge"}}},
        "trainings.yaml": {"trainings": {"a-0": {"editor": name, "seed": 0}}},
    }.items():
        (tmp_path / path).write_text(yaml.safe_dump(content))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--quiet", "--no-scm"], cwd=tmp_path, check=True)
    done = subprocess.run([*dvc, "repro"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "expected a name of letters" in done.stderr, done.stdout + done.stderr
    assert not (tmp_path / "owned").exists()


def outputs(stage: str) -> dict[str, dict[str, Any]]:
    """Path → options of everything that a stage makes."""
    entries = [entry for key in ("outs", "metrics", "plots") for entry in body(stage).get(key, [])]
    return {path: options for entry in entries for path, options in entry.items()}


def test_outputs_are_where_the_stages_write() -> None:
    made = {path.replace("${key}", "ED") for stage in STAGES for path in outputs(stage)}
    folders = [paths.LATENTS, paths.LABELS, paths.PULLBACK, paths.COMPARE, paths.PUBLISH, paths.RECORD]
    assert {path.as_posix() for path in folders} <= made
    per_editor = {Path(path).parent for path in made - {path.as_posix() for path in folders}}
    assert per_editor == {paths.editor_folder("ED"), paths.report_folder("ED")}


@pytest.mark.parametrize("folder", [".", *(f"comparisons/{name}" for name in COMPARISONS)])
def test_dvc_finds_the_stages_of_every_folder(folder: str) -> None:
    """What git ignores is not in DVC's graph, and DVC reads the rules with ``!`` otherwise than git does."""
    with Repo(str(ROOT)) as repo:
        assert ROOT / folder / "dvc.yaml" in {Path(stage.path) for stage in repo.index.stages}


def test_a_failing_stage_keeps_the_outputs_of_the_last_run() -> None:
    assert all(options.get("persist") for stage in STAGES for options in outputs(stage).values())


def test_every_section_of_the_parameters_belongs_to_a_stage() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    used = {name.partition(".")[0] for stage in STAGES for name in body(stage)["params"]}
    assert params.keys() - {"cluster"} == used


def seen_from_peers(text: str) -> str:
    """A dependency, output or command of the pipeline, as the comparison in its folder has it.

    There an editor has a training for each seed, and depends on the code of all editors.
    """
    if text.startswith("pipeline/editors/"):
        return "../../pipeline/editors"
    name = "${item.editor}" if text.startswith("editor.") else "${item.editor}@${item.seed}"
    return ("../../" if text.startswith(("pipeline/", "stages/")) else "") + text.replace("${key}", name)


def test_the_comparison_of_peers_has_the_stages_of_the_pipeline() -> None:
    assert list(PEERS) == [stage for stage in STAGES if stage != "publish"]
    of_every_editor = {stage for stage in STAGES if "foreach" in STAGES[stage]}
    found = {stage: PEERS[stage]["foreach"] for stage in PEERS if "foreach" in PEERS[stage]}
    assert found == dict.fromkeys(of_every_editor, "${trainings}")


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_trainings_of_a_comparison_are_those_of_its_parameters(name: str) -> None:
    folder = ROOT / "comparisons" / name
    assert (folder / "trainings.yaml").read_text() == trainings_yaml(load_params(folder / "params.yaml"))


def test_closed_forms_are_fitted_once_whatever_the_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    compose(["editor=[plugen,ridge]", "compare.seeds=[3,5]"], tmp_path / "params.yaml", config="peers")
    found = yaml.safe_load(trainings_yaml(load_params(tmp_path / "params.yaml")))
    assert found == {
        "trainings": {
            "plugen-3": {"editor": "plugen", "seed": 3},
            "plugen-5": {"editor": "plugen", "seed": 5},
            "ridge-3": {"editor": "ridge", "seed": 3},
        }
    }


@pytest.mark.parametrize("stage", PEERS)
def test_a_stage_of_the_comparison_is_that_of_the_pipeline(stage: str) -> None:
    peer, own = PEERS[stage].get("do", PEERS[stage]), body(stage)
    assert commands(peer) == [f"PYTHONPATH=../.. {seen_from_peers(text)}" for text in commands(own)]
    for key in ("params", "deps"):
        assert peer[key] == list(dict.fromkeys(map(seen_from_peers, own[key]))), key
    committed = {"cache": False} if stage == "compare" else {}
    for key in ("outs", "metrics", "plots"):
        expected = [
            {seen_from_peers(path): options | committed for path, options in out.items()}
            for out in own.get(key, [])
        ]
        assert peer.get(key, []) == expected, key


def test_the_comparison_of_peers_composes_for_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    compose(out=tmp_path / "params.yaml", config="peers")
    params = load_params(tmp_path / "params.yaml")
    assert list(params.editor)[0] == "styleae" and len(params.editor) >= 7
    assert {settings.kind for settings in params.editor.values()} == {Path(kind).stem for kind in KINDS}
    assert params.compare.seeds and params.evaluate.sides == "both"
    networks = params.labeler
    for folder in (params.generator.weights, networks.weights, networks.judge, networks.identity):
        assert (FOLDER / folder / "config.json").is_file(), folder
    base = load_params(ROOT / "params.yaml")
    assert params.publish.experiment != base.publish.experiment  # in the same store
    assert (FOLDER / params.tracking.artifacts).resolve() == (ROOT / base.tracking.artifacts).resolve()
