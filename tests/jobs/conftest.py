"""A real cluster of two nodes behind its Jobs API, with a token, and a real S3 server; all on loopback."""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.storage import Storage
from tests.cluster.conftest import processes_with
from tests.jobs.cluster import Machines, answer, stopped
from tests.ports import free_port

SECRETS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket"}
BUCKET = "styleae"


def pytest_collection_modifyitems(items):
    """Processes start here: give them time on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))


@dataclass(frozen=True)
class Remote:
    """What a user has of a cluster: where it is, where the storage is, and the secrets in the environment."""

    address: str
    storage: str
    environment: dict[str, str]
    folder: Path

    def cluster(self) -> dict[str, object]:
        """The section ``cluster`` of the parameters."""
        actors = {"actors": "auto", "cpus": 1, "gpus": 0}
        return {
            "address": self.address,
            "connect_timeout": 60,
            "storage": self.storage,
            "bring_home_mib": 1024,
            "runtime_env": {"pip": [], "env_vars": {"OMP_NUM_THREADS": "1"}, "image_uri": None},
            **dict.fromkeys(("label", "pullback", "evaluate"), actors),
            "train": {"workers": 1, "cpus": 1, "gpus": 0, "max_failures": 1},
        }

    def logs(self) -> dict[str, bytes]:
        """The logs of both nodes; the second one's folders are seen by way of its processes."""
        inside = str(self.folder / "ray").lstrip("/")
        roots = [Path("/"), *(Path(f"/proc/{pid}/root") for pid in self.processes("worker"))]
        return {
            str(path): path.read_bytes()
            for root in roots[:2]
            for path in (root / inside).glob("session_2*/logs/**/*.*")
            if path.is_file()
        }

    def processes(self, node: str) -> list[int]:
        """Those of a node."""
        return processes_with(f"TMPDIR={self.folder / node}")

    def told(self, *folders: Path, said: str) -> list[str]:
        """Where somebody would find one of the secrets: in folders, logs, the storage or what was said."""
        files = {str(path): path for folder in folders for path in folder.rglob("*") if path.is_file()}
        storage = Storage(self.storage)
        everything = {
            **{name: path.read_bytes() for name, path in files.items()},
            **{file.name: storage.read(file.name) for file in storage.files()},
            **self.logs(),
            "said": said.encode(),
        }
        hidden = [self.environment["RAY_AUTH_TOKEN"].encode(), SECRETS["AWS_SECRET_ACCESS_KEY"].encode()]
        return [name for name, content in everything.items() if any(one in content for one in hidden)]


def s3_server(port: int):
    """A store of its own, for the length of a block."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    return stopped(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_bucket(port: int) -> None:
    while answer(f"http://127.0.0.1:{port}/moto-api/") is None:
        time.sleep(0.1)
    new = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
    urllib.request.urlopen(new, timeout=30).close()


@pytest.fixture(scope="session")
def bucket():
    """The URI of a bucket of a real S3 protocol server; its secrets are in :data:`SECRETS`."""
    port = free_port()
    with s3_server(port):
        make_bucket(port)
        yield f"s3://{BUCKET}/project?scheme=http&endpoint_override=127.0.0.1:{port}"


@pytest.fixture(scope="session")
def google():
    """The URI of a bucket of a server that speaks Google's protocol, and lets everybody in."""
    port = free_port()
    options = ["--host", "127.0.0.1", "--port", str(port), "--in-memory", "--default-bucket", BUCKET]
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", *options]
    with stopped(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        while answer(f"http://127.0.0.1:{port}/storage/v1/b/{BUCKET}") is None:
            time.sleep(0.1)
        yield f"gs://anonymous@{BUCKET}/project?scheme=http&endpoint_override=127.0.0.1:{port}"


@contextmanager
def machines():
    """A cluster, with a token, that has no node yet."""
    environment = {**SECRETS, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder,  # sockets allow no long names
        Machines(Path(folder), environment) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def remote(bucket):
    """The cluster; its second node has folders of its own in the place of the first one's."""
    with machines() as found:
        found.start_head()
        found.start_worker()
        yield Remote(found.address, bucket, found.environment, found.folder)
