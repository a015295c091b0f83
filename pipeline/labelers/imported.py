"""Is a network folder made of what is declared for it? A declaration that was changed since has no effect."""

from __future__ import annotations

__all__ = ["check_imported"]

from pathlib import Path
from typing import Literal

from pipeline.errors import PipelineError
from pipeline.labelers.sources import Sources, classifier_sources, embedder_source
from pipeline.weights import CONFIG, load_config

Role = Literal["weights", "judge", "identity", "perceptual"]


def check_imported(folder: str, sources: Sources, role: Role) -> None:
    """Hold a folder to the source that is declared for its role; without one it is not looked at.

    Raises:
        PipelineError: when it was not imported yet, or from another declaration.
    """
    if not (declared := getattr(sources, role)):
        return
    read = classifier_sources if role in ("weights", "judge") else embedder_source
    if not (Path(folder) / CONFIG).is_file():
        found = "no network"
    elif read(load_config(folder), folder) != declared:
        found = "a network of another declaration"
    else:
        return
    raise PipelineError(
        f"expected what labeler.sources.{role} declares, got {found}, in {folder}: "
        "run `python -m pipeline import-labeler`"
    )
