"""Labelling at the size of the real thing: StyleGAN2 config-f at 1024×1024, 30 million weights, untrained.

What is measured is what a labelling actor does with a batch: synthesize, classify, bring the scores home.
Each precision runs in a process of its own, so that its peak memory is its own; the precisions take turns, so
that a machine whose speed drifts is fair to all. Run it as ``python -m benchmarks.real_scale``; on a machine
with a GPU both devices are measured, elsewhere the GPU's row says so.
"""

from __future__ import annotations

__all__ = ["main"]

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from pipeline import console
from pipeline.generators import StyleGAN2, load_generator
from pipeline.labelers import load_labeler
from pipeline.provenance import git_tags
from pipeline.scoring import DTYPES, Precision, scores_of
from pipeline.weights import save_weights

LABELER = "models/portraits64/labeler"
PRECISIONS = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "bf16", "fp16")}  # a CPU has no fast half precision


def main() -> None:
    """Measure, print a table, write JSON."""
    asked = _arguments()
    if asked.child:
        print(json.dumps(_measure(**json.loads(asked.child))))
        return
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        generator = StyleGAN2(img_resolution=asked.resolution, conv_clamp=256.0)
        save_weights(folder, generator.state_dict(), generator.config())
        weights = sum(p.numel() for p in generator.parameters())
        found = list(_rounds(folder, asked))
    rows = _summaries(found)
    console.table(
        ["device", "precision", "batch", "images/s", "spread", "× fp32", "peak MiB"],
        [
            [row[name] for name in ("device", "precision", "batch", "rate", "spread", "ratio", "peak")]
            for row in rows
        ],
        title=f"label, StyleGAN2 {asked.resolution}×{asked.resolution}, {weights / 1e6:.1f} M weights",
    )
    facts = {"torch": torch.__version__, "machine": _machine(), **git_tags()}
    asked.out.write_text(json.dumps({"facts": facts, "rows": rows}, indent=2) + "\n")
    console.result(f"{asked.out}: {facts}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--resolution", type=int, default=1024)
    parser.add_argument("--device", nargs="+", default=["cpu", *["cuda"] * torch.cuda.is_available()])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--rounds", type=int, default=3, help="times that each row is measured")
    parser.add_argument("--out", type=Path, default=Path("real_scale.json"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def _rounds(folder: str, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every configuration once in each round."""
    jobs = [
        {"folder": folder, "device": device, "precision": precision, "batch": batch}
        for device in asked.device
        for precision in PRECISIONS[device]
        for batch in asked.batch
    ]
    with console.progress(asked.rounds * len(jobs), "runs") as bar:
        for _ in range(asked.rounds):
            for job in jobs:
                command = [sys.executable, "-m", "benchmarks.real_scale", "--child", json.dumps(job)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                yield job | json.loads(done.stdout)
                bar.advance()


@torch.no_grad()
def _measure(folder: str, device: str, precision: Precision, batch: int) -> dict[str, float]:
    """Images per second after a warm-up, and the peak memory of this process or of the GPU, in MiB."""
    torch.backends.cudnn.allow_tf32 = False
    generator, labeler = load_generator(folder, device), load_labeler(LABELER, device=device)
    w = generator.mapping(
        torch.randn(batch, generator.z_dim, generator=torch.Generator().manual_seed(0)).to(device)
    )
    synthesize = generator.prepare(DTYPES[precision])
    repeats = 3 if device == "cpu" else 20
    scores_of(synthesize, labeler, w, precision)
    started = time.perf_counter()
    for _ in range(repeats):
        scores = scores_of(synthesize, labeler, w, precision)  # on the CPU, so the device is done
    rate = repeats * batch / (time.perf_counter() - started)
    if not torch.isfinite(scores).all():
        raise SystemExit(f"expected finite scores in {precision}, got {scores}")
    on_gpu = device == "cuda"
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else _resident_mib()
    return {"rate": rate, "peak": peak}


def _summaries(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians and ratios, and a row that says what was not measured."""
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for one in found:
        groups.setdefault((one["device"], one["precision"], one["batch"]), []).append(one)
    rows = []
    for (device, precision, batch), runs in groups.items():
        rates = [one["rate"] for one in runs]
        single = [one["rate"] for one in groups[device, "fp32", batch]]
        ratios = [rate / base for rate, base in zip(rates, single, strict=True)]
        rows.append(
            {
                "device": device,
                "precision": precision,
                "batch": batch,
                "rate": f"{statistics.median(rates):.3g}",
                "spread": f"{min(rates):.2g}–{max(rates):.2g}",
                "ratio": f"{statistics.median(ratios):.2f}",
                "peak": round(max(one["peak"] for one in runs)),
            }
        )
    if not torch.cuda.is_available():
        rows.append(dict.fromkeys(rows[0], "–") | {"device": "cuda: not measured"})
    return rows


def _resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _machine() -> str:
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.machine()}, {torch.get_num_threads()} threads{gpu}"


if __name__ == "__main__":
    main()
