"""Every benchmark in turn: ``python -m benchmarks [--short]``; options go to each of them."""

from __future__ import annotations

__all__ = ["BENCHMARKS", "main"]

import subprocess
import sys

from pipeline import console

BENCHMARKS = (
    "synthesis",
    "pullback",
    "labelling",
    "training",
    "editing",
    "solvers",
    "evaluation",
    "driver",
    "goodput",
)


def main(options: list[str]) -> int:
    """Run each in a process of its own; gives the status of the first that fails."""
    for name in BENCHMARKS:
        with console.stage(name):
            done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options])
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
