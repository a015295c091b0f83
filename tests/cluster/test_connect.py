import os
import shutil
import socket
import subprocess
import sys

import pytest

from pipeline.cluster import connect
from pipeline.errors import PipelineError
from pipeline.local_head import ROOT, VARIABLE, shared_address, shared_local
from pipeline.resources import ClusterParams


def test_an_address_that_does_not_answer_is_refused_soon():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PipelineError, match=f"cluster.address 127.0.0.1:{port}.*`local`"):
        with connect(ClusterParams(address=f"127.0.0.1:{port}", connect_timeout=1)):
            pass


def test_sharing_starts_nothing_by_itself_and_leaves_nothing():
    before = dict(os.environ)
    with shared_local():
        folder = os.environ[VARIABLE]
        assert os.listdir(folder) == ["owner"]
    assert not os.path.exists(folder)
    assert dict(os.environ) == before


STAGE = """
from pipeline.cluster import connect
from pipeline.resources import ClusterParams

def compute():
    import torch

    return int(torch.ones(100, 100).mm(torch.ones(100, 100)).sum())

with connect(ClusterParams()):
    import ray  # reads its environment

    print(ray.get(ray.remote(compute).options(max_retries=0).remote(), timeout=60))
"""


def test_the_folder_of_the_stage_that_started_ray_may_go(tmp_path):
    # MKL ends a process whose working directory has gone, as those that Ray starts in that of its head.
    with shared_local():
        for name in ("first", "second"):
            folder = tmp_path / name
            shutil.copytree(ROOT / "pipeline", folder / "pipeline")
            (folder / "stage.py").write_text(STAGE)
            done = subprocess.run(
                [sys.executable, "-m", "stage"], cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.stdout == "1000000\n", done.stderr
            shutil.rmtree(folder)


def test_nothing_is_shared_outside(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert shared_address() is None
