"""Hostile checkpoints are refused: quickly, in little memory, with nothing opened, imported or run.

All files are read by two other processes, which an audit hook watches; each is one test here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.checkpoints import read_checkpoint
from pipeline.errors import PipelineError
from tests.security.hostile import accepted_or_refused, corpus, genuine_files
from tests.security.opcodes import PROTO

ROOT = Path(__file__).parents[2]
HOSTILE, UNSURE, GENUINE = corpus(), accepted_or_refused(), genuine_files()
SECONDS = 2.0
BYTES = 64 * 2**20


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What happened when each file was read."""
    files = list((HOSTILE | UNSURE).items())
    parts = [dict(files[0::2]) | GENUINE, dict(files[1::2]) | GENUINE]
    folders = [written(tmp_path_factory.mktemp("hostile"), part) for part in parts]
    watchers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.security.watch", folder], cwd=ROOT, stdout=subprocess.PIPE
        )
        for folder in folders
    ]
    outputs = [watcher.communicate()[0] for watcher in watchers]
    assert all(watcher.returncode == 0 for watcher in watchers), "a file has ended its reader"
    return {
        name: report
        for part, output in zip(parts, outputs, strict=True)
        for name, report in zip(sorted(part), json.loads(output), strict=True)
    }


def written(folder: Path, files: dict[str, bytes]) -> Path:
    """The files in a folder, numbered in the order of their names, which are too odd for a file system."""
    for i, name in enumerate(sorted(files)):
        (folder / f"{i:04}{'-genuine' * (name in GENUINE)}").write_bytes(files[name])
    return folder


def assert_harmless(report: dict[str, Any]) -> None:
    assert report["message"].isprintable() and len(report["message"]) < 500
    assert report["events"] == []
    assert report["seconds"] < SECONDS
    assert report["python_bytes"] < BYTES and report["resident_bytes"] < BYTES


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(name: str, reports: dict[str, dict[str, Any]]) -> None:
    report = reports[name]
    assert report["outcome"] == "refused", report["message"]
    assert report["message"].startswith("cannot read the checkpoint ")
    assert_harmless(report)


@pytest.mark.parametrize("name", UNSURE)
def test_a_damaged_file_is_refused_or_has_the_shapes_that_it_had(
    name: str, reports: dict[str, dict[str, Any]]
) -> None:
    report = reports[name]
    assert report["outcome"] in ("refused", "read"), report["message"]
    if report["outcome"] == "read":
        assert report["shapes"] in [reports[genuine]["shapes"] for genuine in GENUINE]
    assert_harmless(report)


@pytest.mark.parametrize("name", GENUINE)
def test_a_genuine_file_is_read_and_does_nothing_either(
    name: str, reports: dict[str, dict[str, Any]]
) -> None:
    assert reports[name]["outcome"] == "read", reports[name]["message"]
    assert_harmless(reports[name])


def test_the_corpus_is_large_and_always_the_same() -> None:
    assert len(HOSTILE) >= 60 and len(set(HOSTILE.values())) == len(HOSTILE)
    assert corpus() == HOSTILE


def test_the_watcher_sees_what_a_careless_reader_does(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(HOSTILE["call-builtins.open"])
    code = (
        "import pickle, sys; from tests.security.watch import Watcher; watcher = Watcher(); "
        "watcher.path = sys.argv[1]; pickle.loads(b'cbuiltins\\neval\\n(V1\\ntR.'); print(*watcher.events)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pickle.find_class" in done.stdout and "exec" in done.stdout


def test_the_refused_name_is_told(tmp_path: Path) -> None:
    (tmp_path / "network.pkl").write_bytes(PROTO + b"cos\nsystem\n.")
    with pytest.raises(PipelineError, match=r"network\.pkl.*got 'os\.system'"):
        read_checkpoint(tmp_path / "network.pkl")


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "pipe")
    path = {"folder": tmp_path, "pipe": tmp_path / "pipe", "device": Path("/dev/zero")}[kind]
    with pytest.raises(PipelineError, match="expected a file"):
        read_checkpoint(path)
