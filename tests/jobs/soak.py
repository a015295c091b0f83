"""Kills at random moments while jobs label and train: ``python -m tests.jobs.soak [KILLS [SEED]]``.

Each round is a project of its own, whose labels and editor are made on the cluster, each stage run again
until it succeeds. Meanwhile, again and again, something of :data:`TARGETS` is chosen, and killed or stopped a
few seconds after it is there. At the end of a round the bytes must be those of a run on this machine, and no
job may be left.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from pipeline.jobs.leftovers import stored_leftovers
from pipeline.storage import Storage
from tests.cluster.conftest import processes_with, title_of
from tests.cluster.test_labelling import LABELS, contents
from tests.cluster.trainings import EDITOR, train_without_ray
from tests.jobs.cluster import Machines, answer
from tests.jobs.conftest import SECRETS, Remote, machines, make_bucket, s3_server
from tests.jobs.test_lost import seals
from tests.ports import free_port
from tests.tiny import (
    ROOT,
    fill_labels,
    fill_metric,
    make_tiny_project,
    stage_command,
    stage_environment,
)


class Target(NamedTuple):
    """What is killed."""

    often: float  # in relation to the others
    title: str  # what the title of its process holds
    stages: tuple[str, ...] = ("label", "train")  # where it is found


TARGETS = {
    "actor": Target(6, "MapWorker", ("label",)),
    "actor, stopped": Target(2, "MapWorker", ("label",)),
    "worker of a training": Target(6, "RayTrainWorker", ("train",)),
    "worker of a training, stopped": Target(2, "RayTrainWorker", ("train",)),
    "driver of a job": Target(1, "pipeline.jobs.running"),
    "supervisor": Target(0.5, "JobSupervisor"),
    "submitting stage": Target(1, "-m stages."),
    "node": Target(1, "tests.jobs.join"),
    "head": Target(0.3, "gcs_server"),
    "way to the storage": Target(1, "tests.jobs.relay"),
}
SHARDS = 600
PAUSE = (0.0, 5.0)  # seconds from when a target is there to its end
CUT = (1.0, 10.0)  # seconds without a way to the storage
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


@dataclass
class Soak:
    """All that is alive, and what has been done to it."""

    nodes: Machines
    store: int
    way: int
    limit: int
    random: random.Random
    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    reruns: int = 0
    again: list[int] = field(default_factory=list)
    relay: subprocess.Popen[bytes] | None = None

    def mend(self) -> None:
        """Bring back what was killed and does not come back by itself."""
        if self.relay is None or self.relay.poll() is not None:
            command = [sys.executable, "-m", "tests.jobs.relay", str(self.way), str(self.store)]
            self.relay = subprocess.Popen(command, cwd=ROOT, env=stage_environment(**self.nodes.environment))
        if not self.nodes.alive():
            self.nodes.start_head()
        if self.nodes.alive() < 2:
            self.nodes.start_worker()

    def find(self, name: str) -> list[int]:
        """The processes of a target."""
        everyone = processes_with(self.nodes.environment["RAY_AUTH_TOKEN"])
        return [pid for pid in everyone if TARGETS[name].title in title_of(pid)]

    def choose(self, stage: str) -> str:
        """Something that this stage has at some time."""
        often = {name: target.often for name, target in TARGETS.items() if stage in target.stages}
        (name,) = self.random.choices(list(often), list(often.values()))
        return name

    def strike(self, name: str) -> None:
        """Kill one of a target's processes, if there is one still."""
        if not (there := self.find(name)):
            return
        self.kills[name] += 1
        print(f"{self.kills.total()}: {name}", flush=True)
        if name == "head":
            self.nodes.kill("head")
            self.nodes.kill("worker")
        elif name == "node":
            self.nodes.lose_worker()
        else:
            stops = name.endswith("stopped")
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(there), signal.SIGSTOP if stops else signal.SIGKILL)
        if name == "way to the storage":
            time.sleep(self.random.uniform(*CUT))
        self.mend()

    def make(self, remote: Remote, *stage: str) -> None:
        """Run a stage until it succeeds."""
        finished: dict[str, object] = {}
        while True:
            with open("said", "a") as said:
                environment = stage_environment(**remote.environment)
                run = subprocess.Popen(stage_command(*stage), env=environment, stdout=said, stderr=said)
            while run.poll() is None and self.kills.total() < self.limit:
                target = self.choose(stage[0])
                while run.poll() is None and not self.find(target):
                    time.sleep(0.2)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(self.random.uniform(*PAUSE))
                if run.poll() is None:
                    finished = (seals(remote) if stage == ("label",) else {}) | finished
                    self.strike(target)
            run.wait()
            if run.returncode == 0:
                break
            self.reruns += 1
            self.mend()
        if finished:
            now = seals(remote)
            self.again += [sum(now[name] != made for name, made in finished.items())]
            assert self.again[-1] <= self.kills.total(), "finished shards are made again"

    def round(self, seed: int) -> None:
        """One project, from its latents to its editor; the working directory is its folder."""
        place = f"s3://styleae/{seed}?scheme=http&endpoint_override=127.0.0.1:{self.way}"
        remote = Remote(self.nodes.address, place, self.nodes.environment, self.nodes.folder)
        project = {
            "sample.count": 5 * SHARDS,
            "sample.shard_rows": 5,
            "sample.seed": seed,
            "editor.styleae.epochs": 40,
            "editor.styleae.patience": 40,
        }
        make_tiny_project(Path.cwd(), project)
        fill_labels()
        fill_metric()
        train_without_ray("styleae")
        labels, weights = contents(LABELS), Path("expected/weights.safetensors").read_bytes()
        shutil.rmtree(LABELS)
        cluster = remote.cluster() | {"connect_timeout": 30}
        cluster["label"] = {**cluster["label"], "hang_seconds": 5}
        cluster["train"] = {**cluster["train"], "max_failures": 20, "hang_seconds": 5}
        make_tiny_project(Path.cwd(), {**project, "cluster": cluster})
        self.make(remote, "label")
        assert contents(LABELS) == labels, "other labels"
        self.make(remote, "train", "styleae")
        assert (EDITOR / "weights.safetensors").read_bytes() == weights, "other weights"
        jobs = json.loads(answer(f"{remote.address}/api/jobs/", remote.environment["RAY_AUTH_TOKEN"]) or b"")
        assert all(job["status"] in ENDED for job in jobs), f"a job is left: {jobs}"
        found = {left.name for left in stored_leftovers(Storage(remote.storage), [], hours=0)}
        assert found <= {"files", "trees"}, (
            f"work in flight is left: {found}"
        )  # those are sent once for all jobs


def main(limit: int = 100, seed: int = 0) -> None:
    """Rounds until there were enough kills; prints what was killed and what came of it."""
    os.environ.update(SECRETS)
    torch.set_num_threads(1)  # as workers and actors: the last bits depend on it
    store, started = free_port(), time.monotonic()
    with s3_server(store), machines() as nodes:
        make_bucket(store)
        soak = Soak(nodes, store, free_port(), limit, random.Random(seed))
        rounds = 0
        try:
            soak.mend()
            while soak.kills.total() < limit:
                with tempfile.TemporaryDirectory(prefix="soak-") as folder, contextlib.chdir(folder):
                    soak.round(seed * 1000 + rounds)
                rounds += 1
                minutes = (time.monotonic() - started) / 60
                print(
                    f"{minutes:.1f} min: {rounds} rounds, {soak.reruns} stages run again, shards made "
                    f"again {soak.again}, {dict(soak.kills)}",
                    flush=True,
                )
        finally:
            if soak.relay:
                soak.relay.kill()
                soak.relay.wait()
    print(f"{soak.kills.total()} kills, {rounds} rounds: the same bytes, nothing left")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
