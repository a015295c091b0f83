import os
import socket

import pytest

from pipeline.cluster import connect
from pipeline.errors import PipelineError
from pipeline.local_head import VARIABLE, shared_address, shared_local
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


def test_nothing_is_shared_outside(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert shared_address() is None
