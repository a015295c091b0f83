"""The two commands and the lock: what would run, without running it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = tuple(f"requirements/{name}.txt" for name in ("lock", "lock-cluster", "lock-extras", "lock-dev"))
EXTRAS = ("onnx", "huggingface", "timm")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile and the lock, and nothing installed."""
    for name in ("Makefile", *LOCKS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def plan(folder: Path, *arguments: str) -> str:
    """What `make` would do."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def installed(folder: Path) -> None:
    """As if the installation were done."""
    (folder / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", ".installed", ".installed-extras", ".installed-dev"):
        (folder / ".venv" / name).touch()


def test_repro_installs_the_lock_once(checkout):
    assert "-m venv .venv" in plan(checkout, "repro")
    assert "-r requirements/lock.txt" in plan(checkout, "repro")
    installed(checkout)
    assert plan(checkout, "repro").strip() == ".venv/bin/python -m pipeline repro"


def test_a_changed_lock_is_installed_again(checkout):
    installed(checkout)
    os.utime(checkout / "requirements/lock.txt", (4e9, 4e9))
    assert "-r requirements/lock.txt" in plan(checkout, "repro")
    assert "-m venv" not in plan(checkout, "repro")


def test_torch_may_come_from_an_index_of_its_own(checkout):
    planned = plan(checkout, "install", "TORCH_INDEX=https://cpu.example/simple", "PIP_FLAGS=--no-cache-dir")
    assert (
        "--no-cache-dir --index-url \"https://cpu.example/simple\" $(grep '^torch==' requirements/lock.txt)"
        in planned
    )


def test_test_runs_style_types_and_tests_in_this_order(checkout):
    installed(checkout)
    planned = plan(checkout, "test")
    places = [planned.index(text) for text in ("ruff check", "bin/mypy", "-m pytest")]
    assert places == sorted(places)


def test_help_names_every_command(checkout):
    done = subprocess.run(["make", "help"], cwd=checkout, capture_output=True, text=True, check=True)
    assert re.findall(r"make ([\w-]+)", done.stdout) == [
        "help",
        "repro",
        "test",
        "audit",
        "compare",
        "compare-full",
        "ablate",
        "bench",
        "ui",
        "install",
        "extras",
        "lock",
        "clean",
    ]


def test_the_lock_holds_every_direct_dependency_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    extras = [text for name in EXTRAS for text in optional[name]]
    groups = [project["dependencies"], optional["cluster"], extras, optional["dev"]]
    locked: dict[str, str] = {}
    for name, group in zip(LOCKS, groups, strict=True):
        locked |= pins(name)
        for requirement in map(Requirement, group):
            assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert optional.keys() == {*EXTRAS, "cluster", "dev"}


def test_extras_come_on_top_of_the_lock_and_torchvision_from_where_torch_does(checkout):
    (checkout / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", ".installed"):
        (checkout / ".venv" / name).touch()
    planned = plan(checkout, "extras", "TORCH_INDEX=https://cpu.example/simple")
    assert "-r requirements/lock-extras.txt" in planned and "-r requirements/lock.txt" not in planned
    assert "cpu.example/simple\" $(grep '^torchvision==' requirements/lock-extras.txt)" in planned


def test_the_lock_is_of_public_releases_and_names_no_place():
    text = "".join((ROOT / name).read_text() for name in LOCKS)
    assert not re.search(r"\+|://|--index|--find-links|nvidia|triton", text)


def test_nothing_phones_home():
    from dvc.config import Config

    import pipeline  # noqa: F401 - sets the switches

    for switch in ("MLFLOW_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "DVC_NO_ANALYTICS"):
        assert f"export {switch} := {os.environ[switch]}" in (ROOT / "Makefile").read_text()
    core = Config(dvc_dir=str(ROOT / ".dvc"), validate=False).load_one("repo")["core"]
    assert {core["analytics"], core["check_update"]} <= {False, "false", "False"}
