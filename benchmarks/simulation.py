"""A discrete-event simulation of labelling on a cluster: one driver, workers, nodes that fail.

The driver hands out shards one by one, each to the worker that has the fewest; a worker that has finished one
wants another. A node that fails takes its workers and what they have done of their shards along; the shards
go back to the driver, and the workers come back after a while. The driver has a node, too: when that fails,
all workers lose their shards and start again, finished shards stay.
"""

from __future__ import annotations

__all__ = ["Costs", "Outcome", "simulate"]

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

DRIVER = -1  # the number of its node


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What things take, in seconds but for the counts.

    Attributes:
        workers: GPUs.
        node_workers: GPUs of one node, which fail together.
        shard: of a GPU for a shard.
        start: of a worker, until it can take shards.
        feed: of the driver for each shard before the first one is handed out.
        schedule: of the driver for each shard that it hands out and takes back.
        record: of the driver for each shard in the end.
        mtbf: mean time between failures of one node; infinite for none.
        repair: until a lost node is replaced; its workers then start.
        driver_fails: whether the driver's node fails like others.
        at_once: shards that a worker has: one that it works at, and those that wait beside it.
    """

    workers: int
    node_workers: int = 1
    shard: float
    start: float = 0.0
    feed: float = 0.0
    schedule: float = 0.0
    record: float = 0.0
    mtbf: float = math.inf
    repair: float = 0.0
    driver_fails: bool = False
    at_once: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it.

    Attributes:
        wall: seconds until everything is recorded.
        goodput: GPU seconds that went into finished shards, of all that were paid for.
        rate: shards a second between the first quarter and the end.
        driver: share of the time that the driver worked while it handed out shards.
        failures: nodes that failed, the driver's included.
        lost: GPU seconds of work that was lost with them.
    """

    wall: float
    goodput: float
    rate: float
    driver: float
    failures: int
    lost: float


@dataclass(slots=True)
class _Worker:
    """A GPU, the shards that it has, since when it works at the first, and its life, of which events know."""

    shards: deque[int] = field(default_factory=deque)
    since: float = 0.0
    life: int = 0
    up: bool = False


def simulate(shards: int, costs: Costs, seed: int = 0) -> Outcome:
    """One run to its end.

    Arguments:
        shards: how many there are.
        costs: what things take.
        seed: of the failures.
    """
    return _Run(shards, costs, np.random.default_rng(seed)).to_end()


class _Run:
    """The state of a run: events by their time, shards that wait, workers by how many shards they have."""

    def __init__(self, shards: int, costs: Costs, random: np.random.Generator) -> None:
        self.costs, self.random, self.shards = costs, random, shards
        self.workers = [_Worker() for _ in range(costs.workers)]
        self.nodes = math.ceil(costs.workers / costs.node_workers)
        self.waiting = deque(range(shards))
        self.by_load: list[dict[int, None]] = [{} for _ in range(costs.at_once)]
        self.events: list[tuple[float, int, str, int, int]] = []
        self.order = itertools.count()
        self.now = self.busy = self.lost = 0.0
        self.failures = self.driver_life = 0
        self.driver_free = False
        self.stamps: list[float] = []

    def to_end(self) -> Outcome:
        """Take events in turn until all shards are done."""
        self._start_all(0.0)
        if self.costs.driver_fails:
            self._fail_later(DRIVER)
        for node in range(self.nodes):
            self._fail_later(node)
        while len(self.stamps) < self.shards:
            self.now, _, kind, which, life = heapq.heappop(self.events)
            getattr(self, f"_{kind}")(which, life)
        wall = self.now + self.costs.record * self.shards
        useful = self.shards * self.costs.shard
        steady = self.stamps[self.shards // 4 :]
        return Outcome(
            wall=wall,
            goodput=useful / (wall * self.costs.workers),
            rate=(len(steady) - 1) / (steady[-1] - steady[0]) if steady[-1] > steady[0] else math.inf,
            driver=self.busy / self.now,
            failures=self.failures,
            lost=self.lost,
        )

    def _at(self, after: float, kind: str, which: int, life: int = 0) -> None:
        heapq.heappush(self.events, (self.now + after, next(self.order), kind, which, life))

    def _fail_later(self, node: int) -> None:
        if math.isfinite(self.costs.mtbf):
            self._at(self.random.exponential(self.costs.mtbf), "failure", node)

    def _start_all(self, after: float) -> None:
        """The driver takes all shards in hand while the workers start."""
        self.driver_free = False
        self._at(after + self.costs.feed * len(self.waiting), "ready", 0, self.driver_life)
        for index, worker in enumerate(self.workers):
            self._at(after + self.costs.start, "up", index, worker.life)

    def _ready(self, _: int, life: int) -> None:
        """The driver can hand out shards."""
        if life == self.driver_life:
            self.driver_free = True
            self._hand_out()

    def _up(self, index: int, life: int) -> None:
        """A worker has started."""
        worker = self.workers[index]
        if life == worker.life:
            worker.up = True
            self.by_load[0][index] = None
            self._hand_out()

    def _hand_out(self) -> None:
        """The driver begins with the next shard if it is idle and somebody has room."""
        if self.driver_free and self.waiting and any(self.by_load):
            self.driver_free = False
            self.busy += self.costs.schedule
            self._at(self.costs.schedule, "handed", 0, self.driver_life)

    def _handed(self, _: int, life: int) -> None:
        """A shard reaches the worker that has the fewest, unless none has room any more."""
        if life != self.driver_life:
            return
        self.driver_free = True
        load = next((load for load, workers in enumerate(self.by_load) if workers), None)
        if load is not None and self.waiting:
            index = next(iter(self.by_load[load]))
            worker = self.workers[index]
            worker.shards.append(self.waiting.popleft())
            self._move(index, load)
            if load == 0:
                self._begin(index)
        self._hand_out()

    def _move(self, index: int, before: int) -> None:
        """Note that a worker has another number of shards."""
        if before < self.costs.at_once:
            self.by_load[before].pop(index)
        if (load := len(self.workers[index].shards)) < self.costs.at_once:
            self.by_load[load][index] = None

    def _begin(self, index: int) -> None:
        worker = self.workers[index]
        worker.since = self.now
        self._at(self.costs.shard, "finished", index, worker.life)

    def _finished(self, index: int, life: int) -> None:
        """A worker has finished its first shard."""
        worker = self.workers[index]
        if life != worker.life:
            return
        worker.shards.popleft()
        self.stamps.append(self.now)
        self._move(index, len(worker.shards) + 1)
        if worker.shards:
            self._begin(index)
        self._hand_out()

    def _failure(self, node: int, _: int) -> None:
        """A node fails, and comes back."""
        self.failures += 1
        size, all_workers = self.costs.node_workers, range(self.costs.workers)
        lost = all_workers if node == DRIVER else all_workers[node * size : (node + 1) * size]
        for index in lost:
            self._drop(index)
        if node == DRIVER:
            self.driver_life += 1
            self._start_all(self.costs.repair)
        else:
            for index in lost:
                self._at(self.costs.repair + self.costs.start, "up", index, self.workers[index].life)
        self._at(self.costs.repair, "replaced", node)
        self._hand_out()

    def _replaced(self, node: int, _: int) -> None:
        """The new node can fail as well."""
        self._fail_later(node)

    def _drop(self, index: int) -> None:
        """A worker loses its shards, which wait again, and what it has done."""
        worker = self.workers[index]
        if worker.up and len(worker.shards) < self.costs.at_once:
            self.by_load[len(worker.shards)].pop(index)
        if worker.shards:
            self.lost += self.now - worker.since
        self.waiting.extendleft(reversed(worker.shards))
        worker.shards.clear()
        worker.life += 1
        worker.up = False
