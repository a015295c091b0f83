"""What every rank of a training reports; Ray Train takes it from ``RAY_TRAIN_CALLBACKS``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ray.train.v2._internal.execution.callback import ReportCallback


class EveryRank(ReportCallback):
    """Writes a line with the epochs of all ranks for each report; the controller calls it."""

    def __init__(self) -> None:
        self.path = Path("reports.jsonl").absolute()

    def after_report(self, training_report: object, metrics: list[dict[str, Any]]) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps([row["epoch"] for row in metrics]) + "\n")
