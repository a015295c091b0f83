"""Teach StyleGAN2 the renderer: z → known rotation → factors → rendered target, no discriminator.

The generator grows: it learns at 16×16, then at 32×32, then at 64×64, because pictures are cheap while they
are small and what counts is how many of them it sees. Each phase has a budget in images (reproducible) or
seconds (for a machine that is yours until the morning). Checkpoints are written every few minutes; the same
command goes on from the last one.

Several processes of one thread share each batch: they meet once a step, to average gradients, where threads
meet at every operation, and wait there for whichever thread a busy machine has set aside.

Example:
    ``python -m portraits.distill --phase 16:60000 --phase 32:120000 --phase 64:1800s``
"""

from __future__ import annotations

__all__ = ["fresh_generator", "main", "parse_phase", "train"]

import argparse
import io
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pipeline.console import result, run_stage, stage
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.weights import load_weights, write_atomic
from portraits.corpus import open_corpus
from portraits.distiller import Distiller, Phase
from portraits.factors import D

CHANNELS = {4: 128, 8: 96, 16: 64, 32: 40, 64: 16}
MAPPING_LAYERS = 4
PHASES = (Phase(16, 50_000), Phase(32, 300_000), Phase(64, 300_000))
CHECKPOINT, HISTORY = "checkpoint.pt", "history.csv"
# glibc keeps the memory that a step frees for the next step: fresh pages cost a quarter of the time.
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "134217728",
}


def parse_phase(text: str) -> Phase:
    """``64:200000`` is 200,000 images at 64×64, ``64:1800s`` half an hour."""
    try:
        resolution, _, budget = text.partition(":")
        unit = "seconds" if budget.endswith("s") else "images"
        return Phase(int(resolution), float(budget.removesuffix("s")), unit)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected RESOLUTION:IMAGES or RESOLUTION:SECONDSs, got {text!r}"
        ) from error


def fresh_generator(
    img_resolution: int = 64, channels: dict[int, int] | None = None, seed: int = 0
) -> StyleGAN2:
    """A generator to begin with: grey pictures, as every tRGB starts at zero, those of later blocks too."""
    torch.manual_seed(seed)
    generator = StyleGAN2(
        z_dim=D,
        num_layers=MAPPING_LAYERS,
        mapping_lr_multiplier=1.0,
        img_resolution=img_resolution,
        channels=channels or CHANNELS,
    )
    for name, parameter in generator.named_parameters():
        if name.endswith("torgb.weight"):
            torch.nn.init.zeros_(parameter)
    return generator


def read_generator(folder: Path) -> StyleGAN2:
    """A generator of an earlier run, to go on from with a new optimiser."""
    weights = load_weights(folder)
    generator = StyleGAN2.from_config(weights.config)
    weights.fill(generator)
    return generator


def train(distiller: Distiller, out: Path, work: Path, every: float) -> None:
    """Train to the end of the last phase; every so many seconds a snapshot, a checkpoint, a line of history.

    Arguments:
        distiller: fresh or restored.
        out: network folder of the averaged generator.
        work: folder of ``checkpoint.pt`` and ``history.csv``.
        every: seconds of training between two snapshots.
    """
    while not distiller.done:
        phase, images, seconds, started = (
            distiller.phase,
            distiller.total_images,
            distiller.seconds,
            time.monotonic(),
        )
        losses = []
        while distiller.phase == phase and distiller.seconds - seconds < every:
            losses.append(distiller.step())
        rate = (distiller.total_images - images) / (time.monotonic() - started)
        resolution = distiller.phases[phase].resolution
        quality = distiller.held_out_psnr(resolution)
        if distiller.rank == 0:
            distiller.save(out)
            write_checkpoint(work / CHECKPOINT, distiller)
            log(work / HISTORY, resolution, distiller.total_images, sum(losses) / len(losses), quality, rate)


def log(history: Path, resolution: int, images: int, loss: float, quality: float, rate: float) -> None:
    """One line for people, one for ``history.csv``."""
    if not history.exists():
        history.write_text("resolution,images,loss,psnr,images_per_second\n")
    with history.open("a") as file:
        file.write(f"{resolution},{images},{loss:.5f},{quality:.3f},{rate:.1f}\n")
    now = time.strftime("%H:%M:%S")
    result(
        f"{now} {resolution:4d} px {images:10,} images  loss {loss:.4f}  held-out {quality:.2f} dB  "
        f"{rate:.0f} images/s"
    )


def write_checkpoint(path: Path, distiller: Distiller) -> None:
    """Write the state so that a kill leaves the one before."""
    buffer = io.BytesIO()
    torch.save(distiller.state(), buffer)
    write_atomic(path, buffer.getvalue())


def worker(rank: int, options: argparse.Namespace, port: int) -> None:
    """One of the processes: build or restore, then train."""
    torch.set_num_threads(1)
    if options.workers > 1:
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=options.workers)
    generator = read_generator(options.init) if options.init else fresh_generator(seed=options.seed)
    corpus = open_corpus(options.corpus)
    distiller = Distiller(corpus, options.phase or PHASES, generator, options.seed, rank, options.workers)
    if (options.checkpoint / CHECKPOINT).exists():
        distiller.restore(torch.load(options.checkpoint / CHECKPOINT, weights_only=True))
    train(distiller, options.out, options.checkpoint, options.every)


def main(arguments: Sequence[str] | None = None) -> None:
    """Distill from the command line."""
    parser = argparse.ArgumentParser(description="Teach StyleGAN2 the renderer; the same command resumes.")
    parser.add_argument(
        "--corpus", type=Path, default=Path("portraits/cache/corpus"), help="see portraits.corpus"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("models/portraits64/generator"), help="network folder to write"
    )
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("portraits/cache/distill"), help="folder to resume from"
    )
    parser.add_argument(
        "--phase",
        type=parse_phase,
        action="append",
        help="RESOLUTION:IMAGES or RESOLUTION:SECONDSs, repeatable",
    )
    parser.add_argument("--init", type=Path, help="network folder to start from, instead of fresh weights")
    parser.add_argument("--every", type=float, default=240.0, help="seconds between snapshots")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the weights and of the order of the pictures"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes of one thread each")
    options = parser.parse_args(arguments)
    open_corpus(options.corpus)
    options.checkpoint.mkdir(parents=True, exist_ok=True)
    os.environ.update(ALLOCATOR)  # read when the processes start
    with stage("distill the generator"), socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        mp.spawn(worker, (options, port), options.workers)


if __name__ == "__main__":
    sys.exit(run_stage(main)())
