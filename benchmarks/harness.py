"""What all benchmarks share: cases that take turns, floors, tables, JSON.

A *case* is a call that does some work. In a round every case has one turn of several calls; the rounds are
repeated, so a machine whose speed drifts is fair to all. Reported are medians over the rounds, with the
lowest and the highest; a ratio is the median of the ratios round by round. The *floor* is the least time that
this machine could need: the floating-point operations over the rate that a matrix product reaches here, or
the bytes that must move over the rate of a copy, whichever is longer.
"""

from __future__ import annotations

__all__ = [
    "Asked",
    "Case",
    "Limits",
    "Report",
    "Results",
    "Row",
    "arguments",
    "compared",
    "flops_of",
    "limits",
    "measure",
    "read_results",
    "table_of",
]

import argparse
import functools
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline import console
from pipeline.provenance import git_tags

RESULTS = Path("benchmarks/results")
SHORT_RESULTS = Path(".work/benchmarks")
PRODUCT = 2048  # side of the matrices whose product is timed
COPIED = 1 << 28  # bytes that are copied to measure the bandwidth, more than any cache holds
HEADINGS = {"rate": "{unit}/s", "spread": "spread", "ratio": "× first", "floor": "of floor"}

Row = dict[str, Any]
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The command line of a benchmark.

    Attributes:
        short: less of everything, for a look.
        rounds: turns of each case.
        seconds: how long a turn lasts at least.
        device: where torch computes.
        threads: of torch, on a CPU.
        out: the JSON file.
    """

    short: bool
    rounds: int
    seconds: float
    device: str
    threads: int
    out: Path


def arguments(name: str, description: str | None, argv: Sequence[str] | None = None) -> Asked:
    """Read the command line, and set what stages set: torch's threads, and fp32 that is fp32 on a GPU, too.

    Arguments:
        name: of the benchmark; its JSON file is named after it.
        description: of the module; its first line is shown by ``--help``.
        argv: the words of the command line; ``None`` for all of them.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=(description or "").partition("\n")[0]
    )
    parser.add_argument("--short", action="store_true", help="less of everything, a minute or so")
    parser.add_argument("--rounds", type=int, help="turns of each case (short: 3, else 5)")
    parser.add_argument("--seconds", type=float, help="least length of a turn (short: 0.3, else 1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help=f"JSON file (short: in {SHORT_RESULTS}, else in {RESULTS})")
    given = parser.parse_args(argv)
    torch.set_num_threads(given.threads)
    torch.backends.cudnn.allow_tf32 = False
    return Asked(
        short=given.short,
        rounds=given.rounds or (3 if given.short else 5),
        seconds=given.seconds or (0.3 if given.short else 1.0),
        device=given.device,
        threads=given.threads,
        out=given.out or (SHORT_RESULTS if given.short else RESULTS) / f"{name}.json",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that is timed.

    Attributes:
        name: the first column of its row.
        run: the call; what it returns is dropped.
        work: units of work in one call, images say.
        flops: floating-point operations of one call, for the floor; 0 when unknown.
        moved: bytes that one call must read and write, for the floor; 0 when unknown.
        labels: further columns of its row, the first ones.
    """

    name: str
    run: Callable[[], object]
    work: float = 1.0
    flops: float = 0.0
    moved: float = 0.0
    labels: dict[str, Any] = field(default_factory=dict)


def measure(cases: Sequence[Case], asked: Asked) -> list[Row]:
    """A row for each case, compared with the first.

    Returns:
        Rows of plain values: ``name``, the labels, ``rate`` (units per second, the median), ``low`` and
        ``high`` (over the rounds), ``ratio`` (to the first case) and ``floor`` (the share of the floor's rate
        that is reached, ``None`` without a floor).
    """
    calls = [_calls_in(case, asked) for case in cases]
    rates: list[list[float]] = [[] for _ in cases]
    for _ in range(asked.rounds):
        for case, count, found in zip(cases, calls, rates, strict=True):
            found.append(case.work * count / _seconds(case, count, asked.device))
    return compared(cases, rates, asked)


def compared(cases: Sequence[Case], rates: Sequence[list[float]], asked: Asked) -> list[Row]:
    """The rows of :func:`measure` for cases whose rates, one for each round, were measured in another way."""
    return [_row(case, found, rates[0], asked) for case, found in zip(cases, rates, strict=True)]


def _calls_in(case: Case, asked: Asked) -> int:
    """How many calls make a turn of the asked length, after one call to warm up."""
    _seconds(case, 1, asked.device)
    return max(1, round(asked.seconds / _seconds(case, 1, asked.device)))


def _seconds(case: Case, calls: int, device: str) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        case.run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _row(case: Case, rates: list[float], base: list[float], asked: Asked) -> Row:
    least = limits(asked.device, asked.threads).seconds(case.flops, case.moved)
    rate = statistics.median(rates)
    return {
        "name": case.name,
        **case.labels,
        "rate": rate,
        "low": min(rates),
        "high": max(rates),
        "ratio": statistics.median(mine / other for mine, other in zip(rates, base, strict=True)),
        "floor": rate * least / case.work if least else None,
    }


@dataclass(frozen=True, slots=True)
class Limits:
    """What this machine reaches at most.

    Attributes:
        flops: floating-point operations a second, of a product of square matrices in fp32.
        moved: bytes a second, read and written, of a copy.
    """

    flops: float
    moved: float

    def seconds(self, flops: float, moved: float) -> float:
        """The least time for some work."""
        return max(flops / self.flops, moved / self.moved)


@functools.cache
def limits(device: str, threads: int) -> Limits:
    """Measure the limits, on ``threads`` threads of torch; the best of several calls."""
    torch.set_num_threads(threads)
    a = torch.ones(PRODUCT, PRODUCT, device=device)
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    product = Case(name="product", run=lambda: a @ a)
    copy = Case(name="copy", run=lambda: target.copy_(source))
    best = {case.name: min(_seconds(case, 1, device) for _ in range(7)) for case in (product, copy)}
    return Limits(2 * PRODUCT**3 / best["product"], 2 * COPIED / best["copy"])


def flops_of(run: Callable[[], object]) -> int:
    """Floating-point operations of the products and convolutions of a call, as they are written."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


class Report:
    """The tables of a benchmark: printed as they come, written as JSON at the end."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.tables: dict[str, dict[str, Any]] = {}

    def add(self, name: str, title: str, unit: str, rows: Sequence[Row]) -> None:
        """Keep a table of :func:`measure`'s rows, or of other findings, and print it.

        Arguments:
            name: by which :mod:`benchmarks.page` finds it.
            title: above it.
            unit: what the rates count, in the plural.
            rows: all with the same keys, or any plain values under a ``name``.
        """
        self.tables[name] = {"title": title, "unit": unit, "rows": list(rows)}
        headings, cells = table_of(self.tables[name])
        console.table(headings, cells, title=title)

    def write(self) -> None:
        """Write the JSON file and say where it is."""
        found = limits(self.asked.device, self.asked.threads)
        facts = {
            "date": date.today().isoformat(),
            **git_tags(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": self.asked.device,
            "processor": _processor(self.asked.device),
            "threads": self.asked.threads,
            "gflops": round(found.flops / 1e9),
            "gigabytes_per_second": round(found.moved / 1e9, 1),
            "rounds": self.asked.rounds,
        }
        self.asked.out.parent.mkdir(parents=True, exist_ok=True)
        self.asked.out.write_text(json.dumps({"facts": facts, "tables": self.tables}, indent=1) + "\n")
        console.result(f"{self.asked.out}: {', '.join(f'{k} {v}' for k, v in facts.items())}")


def table_of(table: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table, as people read them; rows without rates are shown as they are."""
    first = table["rows"][0]
    if "rate" not in first:
        names = [key.replace("name", "") for key in first]
        return names, [[_text(row[key]) for key in first] for row in table["rows"]]
    labels = [key for key in first if key not in ("rate", "low", "high", "ratio", "floor")]
    headings = [*(key.replace("name", "") for key in labels)]
    headings += [text.format(unit=table["unit"]) for text in HEADINGS.values()]
    return headings, [[*(_text(row[key]) for key in labels), *_figures(row)] for row in table["rows"]]


def read_results(folder: Path) -> Results:
    """The content of each JSON file, by the name of its benchmark."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _figures(row: Row) -> list[str]:
    """Rate, spread, ratio and share of the floor; a row without a rate was not measured."""
    if row["rate"] is None:
        return ["not measured", "", "", ""]
    floor = "" if row["floor"] is None else f"{row['floor']:.0%}"
    return [_text(row["rate"]), f"{_text(row['low'])}–{_text(row['high'])}", f"{row['ratio']:.2f}", floor]


def _text(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _processor(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()
