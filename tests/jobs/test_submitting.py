"""What is sent to a cluster lies in nobody else's reach on its way, and says where it comes from."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pipeline.config import load_params
from pipeline.jobs.submitting import CODE, _package, _runtime_env
from tests.tiny import make_tiny_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_tiny_project(tmp_path))


def test_the_code_that_travels_is_private_whatever_the_umask():
    before = os.umask(0)
    try:
        with _package() as folder:
            assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
            assert {path.name for path in Path(folder).iterdir()} == {*CODE}
    finally:
        os.umask(before)
    assert not Path(folder).exists()


def test_a_job_gets_the_commit_and_the_digests_along(project, monkeypatch):
    monkeypatch.setenv("PIPELINE_COMMIT", "c0ffee")
    monkeypatch.setenv("PIPELINE_DIRTY", "true")
    outs = [{"path": "data/labels", "md5": "1.dir"}, {"path": "reports/styleae/metrics.json", "md5": "2"}]
    Path("dvc.lock").write_text(json.dumps({"stages": {"label": {"outs": outs}}}))
    variables = _runtime_env(load_params(), "trees/1.json", "code")["env_vars"]
    assert (variables["PIPELINE_COMMIT"], variables["PIPELINE_DIRTY"]) == ("c0ffee", "true")
    assert json.loads(variables["PIPELINE_DVC"]) == {"data/labels": "1.dir"}
