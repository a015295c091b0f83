"""Where stages put what they make; ``dvc.yaml`` names the same places, which a test holds."""

from __future__ import annotations

__all__ = [
    "COMPARE",
    "LABELS",
    "LATENTS",
    "PARAMS",
    "PUBLISH",
    "PULLBACK",
    "RECORD",
    "WORK",
    "editor_folder",
    "report_folder",
]

from pathlib import Path

PARAMS = Path("params.yaml")
LATENTS = Path("data/latents")
LABELS = Path("data/labels")
PULLBACK = Path("data/pullback")
COMPARE = Path("comparison")
PUBLISH = Path("mlflow/published.json")  # beside the store: whoever deletes the store publishes again
RECORD = Path("mlflow/recorded.json")
WORK = Path(".work")  # shards and checkpoints in flight: survives kills, belongs to no stage's outputs


def editor_folder(editor: str) -> Path:
    """The trained editor."""
    return Path("models") / editor


def report_folder(editor: str) -> Path:
    """The evaluation of an editor."""
    return Path("reports") / editor
