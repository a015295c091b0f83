"""Bring every editor with its evaluation into MLflow and its registry; notes what was published."""

from __future__ import annotations

__all__ = ["main"]

import json
import sys
from dataclasses import asdict

from pipeline import console
from pipeline.config import load_params
from pipeline.mlflow_store import mlflow_errors, open_store, quieten, shown
from pipeline.paths import PUBLISH
from pipeline.weights import write_atomic


@console.run_stage
def main() -> None:
    """Run the stage in the project's root."""
    params = load_params()
    with console.stage("publish"):
        quieten()
        from pipeline.publishing import check_publishable, publish_editor

        contents = [check_publishable(params, name) for name in params.editor]
        store = open_store(params)
        published = {}
        with console.progress(len(contents), "editors") as bar, mlflow_errors(store.uri):
            for content in contents:
                published[content.name] = publish_editor(params, store, content)
                bar.advance()
        content_json = json.dumps({name: asdict(p) for name, p in published.items()}, indent=2) + "\n"
        write_atomic(PUBLISH, content_json.encode())
        for name, p in published.items():
            state = "champion" if p.champion else "not better than the champion"
            known = "" if p.new else ", known already"
            console.result(
                f"{name}: version {p.version}, {params.publish.headline} {p.headline:.4g}, {state}{known}"
            )
        console.result(
            f"experiment {params.publish.experiment!r} in {shown(store.uri)}; look at it with `make ui`"
        )


if __name__ == "__main__":
    sys.exit(main())
