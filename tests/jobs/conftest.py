"""A real cluster of two nodes behind its Jobs API, with a token, and a real S3 server; all on loopback."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.conftest import processes_with
from tests.jobs.ports import free_port
from tests.tiny import ROOT

SECRETS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "secret-of-the-bucket"}
BUCKET = "styleae"
# `python` on the nodes is the one with the packages, and Ray keeps to the loopback interface.
NODES = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}


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


def answer(url: str, token: str = "") -> bytes | None:
    """What a server says, or nothing when it does not."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as said:
            return said.read()
    except OSError:
        return None


def known(url: str, token: str, nodes: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether a cluster comes to know so many nodes, before the process of the last one has ended."""
    while process.poll() is None:
        if (answer(url, token) or b"").count(b'"ALIVE"') >= nodes:
            return True
        time.sleep(0.5)
    return False


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


@pytest.fixture(scope="module")
def remote(bucket):
    """The cluster; its second node has folders of its own in the place of the first one's."""
    token = secrets.token_hex(32)
    environment = {**SECRETS, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    address = f"http://127.0.0.1:{(dashboard := free_port())}"
    gcs = free_port()
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as place, ExitStack() as stack:
        folder = Path(place)  # sockets allow no long names

        def start(name: str, *command: str) -> subprocess.Popen[bytes]:
            (folder / name).mkdir(exist_ok=True)
            log = stack.enter_context(open(folder / f"{name}.log", "ab"))
            variables = {**os.environ, **environment, **NODES, "TMPDIR": str(folder / name)}
            options = {"env": variables, "cwd": ROOT, "stdin": subprocess.PIPE, "stdout": log, "stderr": log}
            return stack.enter_context(stopped([*command], **options))

        def start_node(name: str, nodes: int, *command: str) -> None:
            """Start a node, again if it gave up: a busy machine needs longer than Ray waits for its parts."""
            for _ in range(3):
                process = start(name, *command)
                if known(f"{address}/nodes?view=summary", token, nodes, process):
                    return
            raise AssertionError((folder / f"{name}.log").read_text())

        head = {
            "node-ip-address": "127.0.0.1",
            "port": gcs,
            "num-cpus": 1,
            "object-store-memory": 100 * 2**20,
            "temp-dir": folder / "ray",
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": free_port(),
            "ray-client-server-port": free_port(),
        }
        options = [f"--{option}={value}" for option, value in head.items()]
        python = (sys.executable, "-m")
        start_node("head", 1, *python, "ray.scripts.scripts", "start", "--head", "--block", *options)
        hidden = f'mount -t tmpfs none {folder / "ray"} && exec "$@"'
        alone = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", hidden, "sh")
        start_node("worker", 2, *alone, *python, "tests.jobs.join", f"127.0.0.1:{gcs}", str(free_port()))
        yield Remote(address, bucket, environment, folder)
    ends = time.monotonic() + 60
    while (left := processes_with(token)) and time.monotonic() < ends:
        time.sleep(0.5)  # what ends with its node takes a moment
    assert left == []


@contextmanager
def stopped(command, **options):
    """A process that is asked to end after the block, and waited for."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
