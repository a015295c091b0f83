"""What the measured driver would reach with 10^8 latents on 1,000 GPUs: a plan, simulated.

Every constant of :mod:`benchmarks.simulation` comes from ``benchmarks/results``, but for those of machines
that nobody has measured here; these stand in :class:`Assumed`, and the table says which they are. *Goodput*
is the GPU time that went into finished shards over the GPU time that was paid for, from the start of the
actors to the manifest.
"""

from __future__ import annotations

__all__ = ["DRAWN", "MTBF_HOURS", "Assumed", "costs_of", "image_rate", "main", "validation"]

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.harness import RESULTS, Asked, Report, Results, Row, arguments, read_results
from benchmarks.simulation import Costs, Outcome, simulate

RESOLUTION = 1024
SHARD_ROWS = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
DRAWN = SHARD_ROWS[3:]
PLANNED = 5000  # rows of a shard, by the tables
MTBF_HOURS = (1, 3, 10, 30, 100, 1000, 10_000)
CAREFUL_HOURS = 10.0  # between failures, where a size of the shard is chosen
MOST_OF_DRIVER = 0.5  # of its time: what is left is for those that start and fail
SEEDS = 2  # of each round, where failures decide
RATES = (10, 30, 100, 300, 1000)
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What was not measured.

    Attributes:
        rows: latents.
        gpus: how many.
        node_gpus: of one machine.
        images: images a second that a GPU synthesizes and classifies; taken from the results of
            ``benchmarks.synthesis`` on a GPU where there are some, see :func:`image_rate`.
        mtbf_hours: mean time between failures of one machine.
        repair: seconds until a lost machine is replaced.
    """

    rows: int = 10**8
    gpus: int = 1000
    node_gpus: int = 8
    images: float = 100.0
    mtbf_hours: float = 1000.0
    repair: float = 300.0


def main() -> None:
    """Simulate, print, write."""
    asked = arguments("goodput", __doc__)
    asked = replace(asked, rounds=1 if asked.short else asked.rounds)
    results = read_results(RESULTS)
    measured = image_rate(results)
    assumed = Assumed() if measured is None else Assumed(images=measured)
    report = Report(asked)
    report.add("constants", "What the plan rests on", "", _constants(results, assumed, measured is not None))
    report.add("validation", "Shards a second of the driver", "", validation(results))
    report.add(
        "shards", f"Plan by the size of a shard, {_setting(assumed)}", "", _by_shard(results, assumed, asked)
    )
    report.add(
        "mtbf", "Goodput by hours between failures and rows of a shard", "", _by_mtbf(results, assumed, asked)
    )
    report.add(
        "rates",
        f"Best shard by images a second of a GPU, {CAREFUL_HOURS:g} h between failures",
        "",
        _by_rate(results, assumed, asked),
    )
    report.add("bytes", f"Bytes that move, {_setting(assumed)}", "", _bytes(results, assumed))
    report.write()


def image_rate(results: Results) -> float | None:
    """Images a second at 1024×1024 by the results of a GPU, the best precision; ``None`` without any."""
    found = [
        row["rate"]
        for result in results.values()
        if result["facts"]["device"].startswith("cuda")
        for row in result["tables"].get("resolution", {"rows": []})["rows"]
        if row["resolution"] == RESOLUTION and row["rate"]
    ]
    return max(found, default=None)


def costs_of(results: Results, workers: int = 1, shard: float = 0.0) -> Costs:
    """What was measured of the driver: its processor time for a shard, and the start of an actor."""
    tables = results["driver"]["tables"]
    many = _unhindered(results)[-1]
    recorded = tables["recorded"]["rows"][-1]
    return Costs(
        workers=workers,
        shard=shard,
        start=min(row["start s"] for row in _unhindered(results)) + _value(results, "generator loaded"),
        feed=many["feed s"] / many["shards"],
        schedule=_slope(results, "driver s"),
        record=sum(recorded[f"{part} s"] for part in ("write", "read", "digest")) / recorded["entries"],
    )


def validation(results: Results) -> list[Row]:
    """Measured rates of the driver with actors that sleep, beside those of the simulation."""
    rows = []
    for row in results["driver"]["tables"]["scheduled"]["rows"]:
        costs = replace(costs_of(results, row["workers"], row["shard s"]), start=0.0, feed=0.0)
        at_once = 1 if row["name"] == "crowd" else costs.at_once
        predicted = simulate(row["shards"], replace(costs, at_once=at_once)).rate
        rows.append(
            {key: row[key] for key in ("name", "shards", "workers", "shard s")}
            | {
                "measured": row["shards/s"],
                "predicted": predicted,
                "predicted / measured": predicted / row["shards/s"],
            }
        )
    return rows


def _unhindered(results: Results) -> list[Row]:
    """Runs of the driver with two actors that do not sleep, by their number of shards."""
    rows = results["driver"]["tables"]["scheduled"]["rows"]
    found = [row for row in rows if row["workers"] == 2 and not row["shard s"]]
    return sorted(found, key=lambda row: row["shards"])


def _value(results: Results, name: str) -> float:
    rows = results["driver"]["tables"]["rows"]["rows"]
    return next(row["value"] for row in rows if row["name"].startswith(name))


def _slope(results: Results, what: str) -> float:
    """What a figure of the driver grows by with each shard, from the fewest to the most."""
    rows = _unhindered(results)
    return (rows[-1][what] - rows[0][what]) / (rows[-1]["shards"] - rows[0]["shards"])


def _constants(results: Results, assumed: Assumed, rate_measured: bool) -> list[Row]:
    costs = costs_of(results)
    cpu = max(
        row["rate"]
        for row in results["synthesis"]["tables"]["resolution"]["rows"]
        if row["resolution"] == RESOLUTION
    )
    known = [
        ("driver: a shard scheduled", 1000 * costs.schedule, "ms"),
        ("driver: a shard handed to Ray Data", 1000 * costs.feed, "ms"),
        ("driver: a shard recorded", 1000 * costs.record, "ms"),
        ("driver: memory of a shard", 1000 * _slope(results, "driver MB"), "kB"),
        ("an actor's start", costs.start, "s"),
        ("images of two cores of a CPU", cpu, "1/s"),
    ]
    supposed = [
        ("a machine's mean time between failures", assumed.mtbf_hours, "h"),
        ("a lost machine's replacement", assumed.repair, "s"),
        ("GPUs of a machine", float(assumed.node_gpus), ""),
    ]
    rate = ("images of a GPU", assumed.images, "1/s")
    measured = [*known, rate] if rate_measured else known
    assumptions = supposed if rate_measured else [rate, *supposed]
    return [
        {"name": name, "value": value, "unit": unit, "origin": origin}
        for origin, group in (("measured", measured), ("assumed", assumptions))
        for name, value, unit in group
    ]


def _plan(results: Results, assumed: Assumed, shard_rows: int) -> tuple[int, Costs]:
    """How many shards, and what they cost."""
    costs = replace(
        costs_of(results, assumed.gpus, shard_rows / assumed.images),
        node_workers=assumed.node_gpus,
        mtbf=assumed.mtbf_hours * HOUR,
        repair=assumed.repair,
        driver_fails=True,
    )
    return math.ceil(assumed.rows / shard_rows), costs


def _runs(results: Results, assumed: Assumed, shard_rows: int, seeds: int) -> list[Outcome]:
    shards, costs = _plan(results, assumed, shard_rows)
    return [simulate(shards, costs, seed) for seed in range(seeds)]


def _mean(outcomes: Sequence[Outcome], what: str) -> float:
    return statistics.fmean(getattr(outcome, what) for outcome in outcomes)


def _by_shard(results: Results, assumed: Assumed, asked: Asked) -> list[Row]:
    entry = results["driver"]["tables"]["recorded"]["rows"][-1]["bytes an entry"]
    rows = []
    for shard_rows in SHARD_ROWS:
        shards, costs = _plan(results, assumed, shard_rows)
        outcomes = _runs(results, assumed, shard_rows, asked.rounds)
        wall = _mean(outcomes, "wall")
        rows.append(
            {
                "name": f"{shard_rows:,} rows",
                "files": f"{shards:,}",
                "MB a file": shard_rows * _value(results, "labels, a row in a file") / 1e6,
                "shard s": costs.shard,
                "shards/s wanted": assumed.gpus / costs.shard,
                "driver busy": f"{_mean(outcomes, 'driver'):.0%}",
                "driver MB": shards * _slope(results, "driver MB"),
                "manifest MB": shards * entry / 1e6,
                "minutes": wall / 60,
                "GPU hours": wall * assumed.gpus / HOUR,
                "goodput": f"{_mean(outcomes, 'goodput'):.1%}",
            }
        )
    return rows


def _by_mtbf(results: Results, assumed: Assumed, asked: Asked) -> list[Row]:
    return [
        {"name": f"{hours:,} h"}
        | {
            f"{rows:,}": _mean(
                _runs(results, replace(assumed, mtbf_hours=hours), rows, SEEDS * asked.rounds), "goodput"
            )
            for rows in DRAWN
        }
        for hours in MTBF_HOURS
    ]


def _by_rate(results: Results, assumed: Assumed, asked: Asked) -> list[Row]:
    rows = []
    for images in RATES:
        careful = replace(assumed, images=images, mtbf_hours=CAREFUL_HOURS)
        plans = {
            shard: _mean(_runs(results, careful, shard, asked.rounds), "wall")
            for shard in SHARD_ROWS
            if _driver_share(results, careful, shard) < MOST_OF_DRIVER
        }
        best = min(plans, key=lambda shard: plans[shard])
        rows.append(
            {
                "name": f"{images:,} images/s",
                "best shard": f"{best:,} rows",
                "files": f"{math.ceil(assumed.rows / best):,}",
                "minutes": plans[best] / 60,
                "GPU hours": plans[best] * assumed.gpus / HOUR,
                "goodput": f"{assumed.rows / images / assumed.gpus / plans[best]:.1%}",
            }
        )
    return rows


def _driver_share(results: Results, assumed: Assumed, shard_rows: int) -> float:
    """What part of the driver's time is wanted, more than all of it if it cannot keep up."""
    return assumed.gpus * assumed.images / shard_rows * costs_of(results).schedule


def _bytes(results: Results, assumed: Assumed) -> list[Row]:
    """What moves: everything but the images, which stay where they are made."""
    latents, labels = (_value(results, f"{kind}, a row in a file") for kind in ("latents", "labels"))
    recorded = results["driver"]["tables"]["recorded"]["rows"][-1]["bytes an entry"]
    pixels = 3.0 * RESOLUTION**2
    moved = [
        ("latents, to the actors", latents, 1),
        ("labels, from the actors", labels, 1),
        (f"seals and manifest, {PLANNED:,} rows a shard", 2 * recorded / PLANNED, 1),
        ("images, if they were kept, 8 bits, not compressed", pixels, 0),
    ]
    return [
        {
            "name": name,
            "bytes a row": size,
            "GB": size * assumed.rows / 1e9,
            "MB/s of each GPU": moves * size * assumed.images / 1e6,
            "GB/s of all": moves * size * assumed.images * assumed.gpus / 1e9,
        }
        for name, size, moves in moved
    ]


def _setting(assumed: Assumed) -> str:
    machines = f"{assumed.mtbf_hours:,.0f} h between failures of a machine"
    return f"{assumed.gpus:,} GPUs, {assumed.images:g} images/s each, {machines}"


if __name__ == "__main__":
    main()
