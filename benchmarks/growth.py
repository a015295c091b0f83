"""What more rows cost: rate and peak memory of two stages, with networks so small that all else counts.

The stages run as users run them, in a folder of their own. The rate of a stage is that between its first part
and its last one, by the times of the files; memory is the peak of each process as the kernel has it.
"""

from __future__ import annotations

__all__ = ["growth"]

import contextlib
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from benchmarks.harness import Asked, Case, Row, compared
from pipeline.attributes import Attribute
from pipeline.generators import StyleGAN2
from pipeline.labelers import ConvNet
from pipeline.paths import LABELS, LATENTS
from pipeline.weights import save_weights

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 8  # of noise, styles, channels and images
SHARD = 1000
ACTORS = 2
STAGES = {"sample": LATENTS, "label": LABELS}
KINDS = ("stage", "actor", "Ray")  # of processes
POLL_SECONDS = 0.2
ATTRIBUTES = (Attribute(name="gender", kind="binary"), Attribute(name="age"))


def growth(counts: Sequence[int], asked: Asked) -> list[Row]:
    """A row for each stage and number of rows, thousands a second, compared with the stage's first."""
    rounds = [[_stages(count) for count in counts] for _ in range(asked.rounds)]
    return [row for stage in STAGES for row in _rows(stage, counts, rounds, asked)]


def _rows(
    stage: str, counts: Sequence[int], rounds: Sequence[Sequence[dict[str, Run]]], asked: Asked
) -> list[Row]:
    """The rows of one stage: medians of its rates and starts, and the highest peaks."""
    runs = [[seen[i][stage] for seen in rounds] for i in range(len(counts))]
    cases = [
        Case(
            name=stage,
            run=lambda: None,
            labels={
                "rows": count,
                "start s": statistics.median(run.start for run in same),
                **{f"{kind} MB": max(run.peaks[kind] for run in same) or "" for kind in KINDS},
            },
        )
        for count, same in zip(counts, runs, strict=True)
    ]
    return compared(cases, [[run.rate / 1000 for run in same] for same in runs], asked)


def _stages(count: int) -> dict[str, Run]:
    """Run the stages one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        _write_project(Path(folder), count)
        return {stage: _run(stage, Path(folder), target) for stage, target in STAGES.items()}


@dataclass(slots=True)
class Run:
    """What was seen of a stage.

    Attributes:
        rate: rows a second.
        start: seconds until the first part.
        peaks: megabytes of the stage's process, of its largest actor, of the largest other process of Ray.
    """

    rate: float = 0.0
    start: float = 0.0
    peaks: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))

    def look(self, stage: int, secret: str) -> None:
        """Take the peaks of all processes whose environment holds the secret."""
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, StopIteration):  # gone, or going
                if secret.encode() not in (folder / "environ").read_bytes():
                    continue
                actor = b"_Mapper" in (folder / "cmdline").read_bytes()
                kind = "stage" if folder.name == str(stage) else "actor" if actor else "Ray"
                self.peaks[kind] = max(self.peaks[kind], _peak(folder))


def _peak(process: Path) -> float:
    """Megabytes that a process has held at most."""
    lines = (process / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def _run(stage: str, folder: Path, target: Path) -> Run:
    """Run a stage to its end and watch it."""
    run, started = Run(), time.time()
    secret = secrets.token_hex(32)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": secret}
    command = [sys.executable, "-m", f"stages.{stage}"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        run.look(process.pid, secret)
        time.sleep(POLL_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, f"stages.{stage}")
    stamps = sorted(path.stat().st_mtime for path in (folder / target).glob("*.parquet"))
    run.rate = SHARD * (len(stamps) - 1) / (stamps[-1] - stamps[0])
    run.start = stamps[0] - started
    return run


def _write_project(folder: Path, count: int) -> None:
    """Tiny networks, and parameters that name them."""
    torch.manual_seed(0)
    generator = StyleGAN2(z_dim=WIDTH, w_dim=WIDTH, num_layers=1, img_resolution=WIDTH, channel_max=WIDTH)
    labeler = ConvNet(ATTRIBUTES, resolution=WIDTH, widths=(WIDTH, WIDTH))
    for name, network in (("generator", generator), ("labeler", labeler)):
        save_weights(folder / name, network.state_dict(), network.config())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["generator"] |= {"weights": "generator"}
    params["labeler"] |= {"weights": "labeler", "attributes": [a.name for a in ATTRIBUTES], "sources": {}}
    params["sample"] |= {"count": count, "shard_rows": SHARD}
    params["label"] |= {"batch_size": SHARD}
    params["cluster"] |= {"address": "local", "label": {"actors": ACTORS, "cpus": 1, "gpus": 0}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
