"""``python -m pipeline tune``: the batch size at which this machine labels fastest, within a memory budget.

It is a command and no setting that a stage finds for itself: the batch decides the last bits of the labels,
so it belongs into ``params.yaml``, where every machine and every later run reads the same number.
"""

from __future__ import annotations

__all__ = ["Probed", "best_batch", "memory_of", "tune"]

import re
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from pipeline import console
from pipeline.config import Params, load_params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_labeler
from pipeline.sampling import draw_styles
from pipeline.scoring import DTYPES, check_precision, scores_of

MOST = 512  # images in a batch: beyond it nothing was seen to get faster
TURNS = 3
ENOUGH = 0.97  # a smaller batch that reaches this share of the best rate is better: it leaves memory alone
UNITS = {"": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True, slots=True)
class Probed:
    """What a batch size does: images a second, and the peak memory of the process or the GPU, in bytes."""

    batch: int
    rate: float
    peak: int


def tune(memory: str) -> None:
    """Try batches of 1, 2, 4 … in one thread, as a labelling actor has, and print which one to use.

    Arguments:
        memory: what an actor may take, such as ``2GiB``.

    Raises:
        PipelineError: when the budget is no size of memory, or one image does not fit into it.
    """
    budget, params = memory_of(memory), load_params()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    label = _labelling(params, device)
    tried: list[Probed] = []
    with console.progress(None, "batch sizes") as bar:
        while not tried or (tried[-1].batch < MOST and tried[-1].peak <= budget and _rises(tried)):
            tried.append(_probe(label, 2 * tried[-1].batch if tried else 1, device))
            bar.advance()
    best = best_batch(tried, budget)
    rows = [(p.batch, f"{p.rate:.3g}", f"{p.peak / 2**20:,.0f}") for p in tried]
    console.table(["batch", "images/s", "peak MiB"], rows, title=f"label, {params.label.precision}, {device}")
    console.result(f"set it with: python -m pipeline compose label.batch_size={best.batch}")


def memory_of(text: str) -> int:
    """The bytes of ``2GiB``, ``800MB`` or a plain number."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if not found or found[2].upper() not in UNITS:
        raise PipelineError(f"expected a size of memory such as 2GiB, got {text!r}, in --memory: correct it")
    return int(float(found[1]) * UNITS[found[2].upper()])


def best_batch(tried: Sequence[Probed], budget: int) -> Probed:
    """The smallest batch within the budget that is nearly as fast as the fastest one within it."""
    fitting = [probed for probed in tried if probed.peak <= budget]
    if not fitting:
        raise PipelineError(
            f"expected a budget in which one image fits, got {budget / 2**20:,.0f} MiB where one takes "
            f"{tried[0].peak / 2**20:,.0f}: raise --memory"
        )
    fastest = max(probed.rate for probed in fitting)
    return next(probed for probed in fitting if probed.rate >= ENOUGH * fastest)


def _rises(tried: Sequence[Probed]) -> bool:
    """Whether the last two doublings still brought something."""
    before = max((probed.rate for probed in tried[:-2]), default=0.0)
    return max(probed.rate for probed in tried[-2:]) > before / ENOUGH


def _labelling(params: Params, device: str) -> Callable[[int], object]:
    """What an actor does with a batch of so many images."""
    generator = load_generator(params.generator.weights, device)
    check_precision(generator, params.label.precision)
    synthesize = generator.prepare(DTYPES[params.label.precision])
    labeler = load_labeler(params.labeler.weights, params.labeler.attributes, device)
    asked = params.generator
    w = draw_styles(generator, 0, range(MOST), asked.truncation_psi, asked.class_label, device)
    return lambda batch: scores_of(synthesize, labeler, w[:batch], params.label.precision)


def _probe(label: Callable[[int], object], batch: int, device: str) -> Probed:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    label(batch)
    seconds = statistics.median(_seconds(label, batch) for _ in range(TURNS))
    on_gpu = device == "cuda"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Probed(batch, batch / seconds, torch.cuda.max_memory_allocated() if on_gpu else resident)


def _seconds(label: Callable[[int], object], batch: int) -> float:
    started = time.perf_counter()
    label(batch)  # its scores are on the CPU, so the device is done
    return time.perf_counter() - started
