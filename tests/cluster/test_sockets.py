"""What a local Ray listens on: the loopback interface, and nothing else."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest

from tests.cluster.conftest import processes_with
from tests.cluster.trainings import reported, training
from tests.tiny import fill_labels, fill_metric, make_tiny_project

LISTENING = "0A"  # in /proc/net/tcp


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(descriptor)
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def address_of(digits: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as the kernel writes it: words of four bytes, each with its last byte first."""
    raw = bytes.fromhex(digits)
    return ipaddress.ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))


def listening(inodes: set[str]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses on which some sockets wait for connections."""
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [address_of(row[1].partition(":")[0]) for row in rows if row[3] == LISTENING and row[9] in inodes]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_listens_to_this_machine_alone(project, workers):
    """Workers of a training have the most reasons to listen: ranks look for each other."""
    make_tiny_project(project, {"cluster.train.workers": workers, "cluster.train.cpus": 0.5})
    fill_labels()
    fill_metric()
    with training(until=reported) as run:
        found = listening(set().union(*map(sockets_of, processes_with(os.environ["RAY_AUTH_TOKEN"]))))
        assert run.poll() is None and reported()[0]["workers"] == workers
    assert len(found) > 3  # Ray does listen
    strangers = [str(address) for address in found if not _is_loopback(address)]
    assert strangers == []


def _is_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
