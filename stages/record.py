"""Bring the comparison of all editors into MLflow as one run; notes which."""

from __future__ import annotations

__all__ = ["main"]

import json
import sys
from dataclasses import asdict

from pipeline import console
from pipeline.config import load_params
from pipeline.mlflow_store import mlflow_errors, open_store, quieten, shown
from pipeline.paths import COMPARE, RECORD
from pipeline.weights import write_atomic


@console.run_stage
def main() -> None:
    """Run the stage in the project's root, or in the folder of a comparison."""
    params = load_params()
    with console.stage("record"):
        quieten()
        from pipeline.recording import record_comparison

        store = open_store(params)
        with mlflow_errors(store.uri):
            recorded = record_comparison(store, COMPARE)
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(RECORD, (json.dumps(asdict(recorded), indent=2) + "\n").encode())
        known = "" if recorded.new else ", known already"
        console.result(
            f"run 'comparison' of experiment {params.publish.experiment!r} in {shown(store.uri)}{known}"
        )


if __name__ == "__main__":
    sys.exit(main())
