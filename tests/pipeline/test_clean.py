import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cli import clean
from pipeline.weights import write_atomic


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with outputs, and what runs that were killed leave beside them."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(clean.tempfile, "gettempdir", lambda: str(temporary))
    folder = tmp_path / "project"
    for name in (
        "data/labels/part-00000.parquet",
        "models/styleae/weights.safetensors",
        "reports/styleae/.gitignore",
        ".work/label/0123456789abcdef/seals/part-00000.parquet.json",
        "models/styleae/.weights.safetensors.0123456789abcdef",
        "data/.labels.ab_1cd2e/new/part-00000.parquet",
        "data/.labels.old.4711/part-00000.parquet",
    ):
        write_atomic(folder / name, b"something")
    write_atomic(temporary / "ray-gone/session/log", b"1")
    write_atomic(temporary / "another/file", b"1")
    monkeypatch.chdir(folder)
    return folder


def left() -> set[str]:
    outside = f"{Path.cwd().parent}/"
    return {each.name.removeprefix(outside) for each in clean.here()}


LEFT = {
    ".work/label",
    "models/styleae/.weights.safetensors.0123456789abcdef",
    "data/.labels.ab_1cd2e",
    "data/.labels.old.4711",
    "tmp/ray-gone",
}


def test_what_killed_runs_leave_is_shown_and_stays(project, capsys):
    assert left() == LEFT
    assert main(["clean"]) == 0
    assert "clean --yes" in capsys.readouterr().out
    assert left() == LEFT


def test_it_is_removed_if_asked_and_outputs_stay(project, capsys):
    assert main(["clean", "--yes"]) == 0
    assert left() == set()
    assert Path("data/labels/part-00000.parquet").is_file()
    assert Path("models/styleae/weights.safetensors").is_file()
    assert Path("reports/styleae/.gitignore").is_file()
    assert (project.parent / "tmp/another/file").is_file()
    assert main(["clean"]) == 0
    assert "nothing is left" in capsys.readouterr().out


def test_the_folder_of_a_ray_that_runs_is_none(project):
    folder = project.parent / "tmp/ray-gone"
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()", str(folder)], stdin=subprocess.PIPE
    ) as process:
        assert left() == LEFT - {"tmp/ray-gone"}
        process.stdin.close()
    assert left() == LEFT


def test_the_working_directory_of_a_job_is_one(project):
    tree = clean.home_of_trees() / "0123"
    write_atomic(tree / "params.yaml", b"{}")
    write_atomic(tree.with_name("0123.lock"), b"")
    assert left() == LEFT | {f"tmp/styleae-trees-{os.getuid()}/0123"}
