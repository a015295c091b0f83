"""The classifiers' section of ``portraits/params.yaml``, typed."""

from __future__ import annotations

__all__ = ["PARAMS", "ROLES", "Recipe", "load_recipe"]

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from pipeline.errors import PipelineError

PARAMS = Path("portraits/params.yaml")
ROLES = ("labeler", "judge", "identity")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one classifier is made.

    Attributes:
        count: rendered portraits, 2000 held-out ones included.
        seed: of the portraits, the initial weights and the order of training; each role has its own.
        epochs: how often every portrait is seen.
        batch_size: portraits in a step.
        learning_rate: at its peak; one cycle from a tenth of it, up, and down to zero.
    """

    count: int
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float


def load_recipe(role: str, path: Path = PARAMS) -> Recipe:
    """The recipe of ``role``.

    Raises:
        PipelineError: when a key is missing or unknown.
    """
    section = yaml.safe_load(path.read_text())["classifiers"][role]
    known = {field.name for field in fields(Recipe)}
    if section.keys() != known:
        raise PipelineError(
            f"expected the keys {sorted(known)}, got {sorted(section)}, in {path}: classifiers.{role}"
        )
    return Recipe(**section)
