"""What is sent to a cluster lies in nobody else's reach on its way, and says where it comes from."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from pipeline.config import load_params
from pipeline.jobs.submitting import CODE, _facts, _package, _params_there, _runtime_env
from pipeline.scratch import fingerprint
from pipeline.storage import Storage
from pipeline.trees import Tree
from tests.tiny import make_tiny_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(make_tiny_project(tmp_path))


def test_the_code_that_travels_is_private_whatever_the_umask():
    before = os.umask(0)
    try:
        with _package() as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert {path.name for path in folder.iterdir()} == {*CODE}
    finally:
        os.umask(before)
    assert not folder.exists()


def test_a_job_is_known_by_all_that_determines_what_it_makes_and_by_nothing_else(project, tmp_path):
    storage = Storage(f"file://{tmp_path}/storage")

    def name() -> str:
        params = load_params()
        tree = Tree.send(storage, ["models/tiny"], {"params.yaml": _params_there()})
        with _package() as code:
            (code / "pipeline" / "explorer.html").write_text(page)
            return fingerprint(_facts(storage, tree, code, params, ["train", "styleae"]))

    def changed(section: str, **values: object) -> str:
        before = Path("params.yaml").read_text()
        params = yaml.safe_load(before)
        params[section] |= values
        Path("params.yaml").write_text(yaml.safe_dump(params))
        found = name()
        Path("params.yaml").write_text(before)
        return found

    page = "one"
    first = name()
    assert name() == first
    assert changed("cluster", connect_timeout=99.0, bring_home_mib=1, storage="s3://bucket") == first
    assert changed("cluster", runtime_env={"pip": ["torch==2.0"], "env_vars": {}, "image_uri": None}) != first
    assert changed("train", seed=7) != first
    page = "another"
    assert name() != first
    page = "one"
    (Path("models/tiny/generator") / "more").touch()
    assert name() != first


def test_a_job_gets_the_commit_and_the_digests_along(project, monkeypatch):
    monkeypatch.setenv("PIPELINE_COMMIT", "c0ffee")
    monkeypatch.setenv("PIPELINE_DIRTY", "true")
    outs = [{"path": "data/labels", "md5": "1.dir"}, {"path": "reports/styleae/metrics.json", "md5": "2"}]
    Path("dvc.lock").write_text(json.dumps({"stages": {"label": {"outs": outs}}}))
    variables = _runtime_env(load_params(), "trees/1.json", Path("code"))["env_vars"]
    assert (variables["PIPELINE_COMMIT"], variables["PIPELINE_DIRTY"]) == ("c0ffee", "true")
    assert json.loads(variables["PIPELINE_DVC"]) == {"data/labels": "1.dir"}
