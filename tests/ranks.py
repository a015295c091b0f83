"""Trainings on several ranks without Ray: processes under torch's own data-parallel training, over gloo."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel

from pipeline.editors import EditingData, editor_class
from pipeline.editors.flow_settings import PluGeNParams, StyleFlowParams
from pipeline.editors.peer_settings import DisentanglerParams
from pipeline.editors.settings import StyleAEParams
from pipeline.loop import Loop
from tests.fakes import FakeGenerator, FakeLabeler, fake_context, fake_data
from tests.generators import frozen

SHAPE = {"layers": 1, "width": 16, "epochs": 6, "batch_size": 15, "learning_rate": 1e-3, "patience": 6}
EDITS = StyleAEParams(**SHAPE, rank=6, probes=1, probe_epochs=1)
EDIT_TERMS = ("edit_weight", "preserve_weight", "cycle_weight", "move_weight", "natural_weight")
CASES: dict[str, Any] = {
    # As conf/editor/styleae_paper.yaml, but for the sizes.
    "images": StyleAEParams(
        **SHAPE,
        reconstruction="image",
        coordinates="w",
        start="orthogonal",
        residual=False,
        reconstruction_weight=1.0,
        schedule="constant",
        **dict.fromkeys(EDIT_TERMS, 0.0),
    ),
    "edits": EDITS,
    "clipped": PluGeNParams(
        couplings=2, layers=2, width=16, gradient_clip=0.1, epochs=6, batch_size=15, learning_rate=1e-3
    ),
    "flow": StyleFlowParams(layers=2, width=16, epochs=3, batch_size=15, learning_rate=1e-3),
    "fewer rows than ranks": replace(EDITS, batch_size=2, epochs=2),
    "stops early": replace(EDITS, epochs=30, patience=1, learning_rate=0.1),
}
# Editors that several ranks cannot train.
ALONE = {
    "disentangler": DisentanglerParams(components=6, layers=2, width=16, batch_size=15),
    "decorrelated": replace(EDITS, decorrelation_weight=1.0),
}
# Where the first reconstruction is exact, Adam first steps along what rounding left: in single precision
# two such trainings are 1e-2 apart, in double precision 2e-6.
DOUBLE = "images"
MOVED = 3  # epochs after which a training is continued with another number of ranks


def make_loop(case: str, rank: int = 0, ranks: int = 1) -> Loop:
    """A loop over 40 latents, validated with 10."""
    generator = frozen(w_dim=16) if case == DOUBLE else FakeGenerator()
    labeler = FakeLabeler(pixels=3 * generator.img_resolution**2)
    context, data = fake_context(generator), fake_data(generator, labeler, 50)
    train, val = (
        EditingData(data.w[rows], data.attrs[rows], data.columns) for rows in (slice(40), slice(40, 50))
    )
    settings = {**CASES, **ALONE}[case]
    objective = editor_class(settings.kind).build(settings, train, context, 0).objective(settings, context)
    if case == DOUBLE:
        train, val = (replace(part, w=part.w.double(), attrs=part.attrs.double()) for part in (train, val))
        objective.double()
    forward = DistributedDataParallel(objective, broadcast_buffers=False) if ranks > 1 else objective
    return Loop(objective, forward, settings, train, val, 0, rank, ranks)


def train(loop: Loop, until: int | None = None) -> list[dict[str, float]]:
    """Train to the end, or for some epochs; the history."""
    while not loop.finished and loop.epoch != until:
        loop.run_epoch()
    return loop.history


def train_on_ranks(folder: Path) -> None:
    """Train every case on three and on two ranks; :func:`read` reads their histories from the folder."""
    mp.spawn(_rank, (folder,), nprocs=3)


def read(folder: Path, case: str, ranks: int, rank: int = 0) -> list[dict[str, float]]:
    """The history that one rank has of a case."""
    return json.loads((folder / f"{case}-{ranks}-{rank}.json").read_text())


def _rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    for ranks in (3, 2):
        if rank < ranks:
            where = f"file://{folder}/meeting-{ranks}"
            dist.init_process_group("gloo", init_method=where, rank=rank, world_size=ranks)
            for case in CASES:
                history = train(make_loop(case, rank, ranks))
                (folder / f"{case}-{ranks}-{rank}.json").write_text(json.dumps(history))
            _move(folder, rank, ranks)
            dist.destroy_process_group()


def _move(folder: Path, rank: int, ranks: int) -> None:
    """The first epochs on three ranks, the others on two."""
    loop, state = make_loop("images", rank, ranks), folder / "state.pt"
    if ranks == 3:
        train(loop, until=MOVED)
        if rank == 0:
            torch.save(loop.state(), state)
        dist.barrier()
    else:
        loop.restore(torch.load(state, weights_only=True))
        (folder / f"moved-{ranks}-{rank}.json").write_text(json.dumps(train(loop)))
