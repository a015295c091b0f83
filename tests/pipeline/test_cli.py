"""The command line: pictures of edits, lists, a run that is stopped, one line for every mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.__main__ import main
from pipeline.attributes import Attribute
from pipeline.checks import check_networks
from pipeline.cli.group import run_group
from pipeline.config import load_params
from pipeline.editors import InterFaceGAN, save_editor
from pipeline.errors import PipelineError
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.labelers import ConvEmbedder, ConvNet, ResNet
from pipeline.weights import save_weights

ROOT = Path(__file__).parents[2]
NAMES = yaml.safe_load((ROOT / "params.yaml").read_text())["labeler"]["attributes"]
ATTRIBUTES = [
    Attribute(
        name=name,
        kind="binary" if name in ("gender", "glasses") else "continuous",
        alias="smile" if name == "expression" else None,
    )
    for name in NAMES
]
W_DIM = 16


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parameters, tiny networks and an editor of one direction for each attribute; entered."""
    torch.manual_seed(0)
    networks = {
        "generator": StyleGAN2(z_dim=6, w_dim=W_DIM, num_layers=2, img_resolution=16, channel_max=8),
        "labeler": ConvNet(ATTRIBUTES, 16, (4, 4, 4, 4, 4)),
        "judge": ResNet(ATTRIBUTES, 16, (4, 8), 1),
        "identity": ConvEmbedder(8, 16, (4, 4, 4, 4, 4)),
    }
    for name, network in networks.items():
        save_weights(tmp_path / "models/portraits64" / name, network.state_dict(), network.config())
    editor = InterFaceGAN(tuple(NAMES), W_DIM)
    for tensor in editor.state_dict().values():
        tensor.copy_(torch.randn_like(tensor))
    save_editor(editor, tmp_path / "models/toy")
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edited(*arguments: str) -> np.ndarray:
    """The pixels that ``edit`` writes."""
    assert main(["edit", "--model", "models/toy", "--seed", "7", "--out", "edit.png", *arguments]) == 0
    return np.asarray(Image.open("edit.png"))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    assert main(list(arguments)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_an_edit_shows_before_and_after_enlarged(project: Path) -> None:
    picture = edited("--set", "age=2")
    assert picture.shape == (64, 64 + 8 + 64, 3)
    assert (picture[:, :64] != picture[:, -64:]).any()


def test_no_edit_shows_the_same_face_twice(project: Path) -> None:
    picture = edited()
    np.testing.assert_array_equal(picture[:, :64], picture[:, -64:])


def test_strengths_combine(project: Path) -> None:
    both, one = edited("--set", "age=2", "--set", "beard=-1"), edited("--set", "age=2")
    assert (both[:, -64:] != one[:, -64:]).any()


def test_an_alias_is_its_attribute(project: Path) -> None:
    np.testing.assert_array_equal(edited("--set", "smile=1.5"), edited("--set", "expression=1.5"))


def test_a_seed_is_a_face(project: Path) -> None:
    first = edited()
    np.testing.assert_array_equal(first, edited())
    assert (first != edited("--seed", "8")).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "smlie=1"], r"unknown attribute 'smlie', in --set: did you mean 'smile'\?"),
        (["--set", "smile"], r"expected ATTRIBUTE=STRENGTH such as smile=1\.5, got 'smile'"),
        (["--set", "smile=nan"], r"expected ATTRIBUTE=STRENGTH"),
        (["--model", "models/none"], r"in models/none, got no config\.json"),
        (["--seed", "-1"], r"expected a seed of 0 or more, got -1"),
        (["--out", "edit.hat"], r"expected a picture such as edit\.png, got 'edit\.hat'"),
    ],
)
def test_a_refused_edit_is_one_line_and_no_picture(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert re.search(message, refusal(capsys, "edit", "--model", "models/toy", *arguments))
    assert not list(project.glob("edit.*"))


def test_an_editor_of_another_generator_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_editor(InterFaceGAN(("age",), 24), project / "models/wide")
    assert "style vectors of width 16, got 24" in refusal(capsys, "edit", "--model", "models/wide")


def test_attributes_are_listed_with_kind_range_and_alias(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attributes"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert re.search(r"expression\s+continuous\s+-2\.0 … \+2\.0\s+smile", printed)


def test_the_summary_shows_the_table_and_where_to_go(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "comparison").mkdir()
    (project / "comparison/table.csv").write_text("editor,success\nstyleae,0.912345\n")
    (project / "reports/styleae").mkdir(parents=True)
    (project / "reports/styleae/explorer.html").touch()
    assert main(["summary"]) == 0
    printed = capsys.readouterr().out
    for expected in ("styleae", "0.912", "reports/styleae/explorer.html", "make ui", "dvc plots show"):
        assert expected in printed


def test_a_summary_of_nothing_says_what_to_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "run `make repro`" in refusal(capsys, "summary")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        main(["--help"])
    assert status.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("repro", "edit", "attributes", "summary", "compose", "smile=1.5"))


def test_many_overrides_leave_nothing_but_the_parameters(project: Path) -> None:
    (project / "conf").symlink_to(ROOT / "conf")
    asked = [f"label.batch_size={rows}" for rows in range(100, 120)]
    before = set(project.rglob("*"))
    assert main(["compose", "cluster.storage=s3://bucket/styleae", *asked]) == 0
    assert load_params().label.batch_size == 119
    assert set(project.rglob("*")) == before


def test_a_run_outside_the_project_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "got no dvc.yaml" in refusal(capsys, "repro")


def test_an_archive_without_git_says_what_to_do(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "dvc.yaml").touch()
    assert "run `git init`" in refusal(capsys, "repro")


def test_networks_that_fit_pass(project: Path) -> None:
    check_networks(load_params())


def test_a_judge_that_lacks_an_attribute_is_refused(project: Path) -> None:
    judge = ResNet(ATTRIBUTES[:-1], 16, (4, 8), 1)
    save_weights("models/portraits64/judge", judge.state_dict(), judge.config())
    with pytest.raises(PipelineError, match="expression.*models/portraits64/judge"):
        check_networks(load_params())


def test_truncated_weights_are_refused(project: Path) -> None:
    path = project / "models/portraits64/generator/weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PipelineError, match="damaged file.*restore it"):
        check_networks(load_params())


def test_a_classifier_of_nan_is_refused(project: Path) -> None:
    labeler = ConvNet(ATTRIBUTES, 16, (4, 4, 4, 4, 4))
    labeler.shift[0] = float("nan")
    save_weights("models/portraits64/labeler", labeler.state_dict(), labeler.config())
    with pytest.raises(PipelineError, match="expected 8 finite scores"):
        check_networks(load_params())


def test_the_status_of_a_run_comes_back() -> None:
    assert run_group([sys.executable, "-c", "raise SystemExit(3)"]) == 3


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process(signum: signal.Signals, tmp_path: Path) -> None:
    inner = f"import os, time; open({str(tmp_path / 'pid')!r} + str(os.getpid()), 'w'); time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    outer = (
        "import sys; from pipeline import console; from pipeline.cli.group import run_group\n"
        f"run = console.run_stage(lambda: run_group([sys.executable, '-c', {child!r}]))\n"
        "sys.exit(run())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", outer], cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL
    )
    while not (pids := [int(path.name.removeprefix("pid")) for path in tmp_path.iterdir()]):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.wait(60) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
