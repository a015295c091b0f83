"""From a declaration to a network folder: whole, sealed with digests, and in place by renaming."""

from __future__ import annotations

__all__ = ["import_classifier", "import_embedder", "import_perceptual"]

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.data import new_folder
from pipeline.importing.clip import import_clip
from pipeline.importing.huggingface import import_huggingface
from pipeline.importing.programs import import_program
from pipeline.importing.timm import import_timm
from pipeline.labelers import Embedder, Labeler, Perceptual, load_embedder, load_labeler, load_perceptual
from pipeline.labelers.sources import (
    ClassifierSource,
    ClipModel,
    EmbedderSource,
    ExportModel,
    FolderClassifier,
    HuggingFaceClassifier,
    HuggingFaceModel,
    OnnxModel,
    PerceptualSource,
    TimmModel,
    TorchScriptModel,
)
from pipeline.weights import CONFIG, load_config, save_config, sha256


def import_classifier(sources: Sequence[ClassifierSource], target: str | Path) -> tuple[Labeler, list[str]]:
    """Make the network folder of a classifier.

    Arguments:
        sources: what it is made of; several supply different attributes.
        target: the folder; it appears whole, or stays as it was.

    Returns:
        the classifier, and where the sources' own folders contradict the declaration.

    Raises:
        PipelineError: when a source is missing, damaged or contradicts its declaration.
    """
    with new_folder(target) as staging:
        if len(sources) == 1 and not isinstance(sources[0], FolderClassifier):
            doubts = _import_one(sources[0], staging)
        else:
            doubts = _import_several(sources, staging)
        labeler = load_labeler(staging)
    return labeler, doubts


def import_embedder(source: EmbedderSource, target: str | Path) -> tuple[Embedder, list[str]]:
    """Make the network folder of an identity embedding; see :func:`import_classifier`."""
    with new_folder(target) as staging:
        doubts = _import_one(source, staging)
        embedder = load_embedder(staging)
    return embedder, doubts


def import_perceptual(source: PerceptualSource, target: str | Path) -> Perceptual:
    """Make the network folder of a perceptual network; see :func:`import_classifier`."""
    with new_folder(target) as staging:
        _import_one(source, staging)
        perceptual = load_perceptual(staging)
    return perceptual


def _import_several(sources: Sequence[ClassifierSource], staging: Path) -> list[str]:
    """A network folder for each source inside of one that combines them."""
    doubts, members = [], []
    for i, source in enumerate(sources):
        members.append(f"{i}-{source.kind}")
        doubts += _import_one(source, staging / members[-1])
    _seal(staging, "combined", sources, {"members": members})
    return doubts


def _import_one(source: ClassifierSource | EmbedderSource, staging: Path) -> list[str]:
    """The network folder of one source."""
    staging.mkdir(exist_ok=True)
    doubts: list[str] = []
    network: dict[str, Any] = {}
    match source:
        case FolderClassifier():
            load_config(source.folder)  # refuses what is no network folder, or a damaged one
            shutil.copytree(source.folder, staging, dirs_exist_ok=True)
            return []
        case TorchScriptModel() | ExportModel() | OnnxModel():
            import_program(source, staging)
        case ClipModel():
            network, doubts = import_clip(source, staging)
        case HuggingFaceClassifier() | HuggingFaceModel():
            network, doubts = import_huggingface(source, staging)
        case TimmModel():
            network, doubts = import_timm(source, staging)
    _seal(staging, source.kind, [source], {"network": network} if network else {})
    return [f"{source.origin}: {doubt}" for doubt in doubts]


def _seal(folder: Path, architecture: str, sources: Sequence[Any], more: dict[str, Any]) -> None:
    """Write ``config.json``: the declaration, what rebuilds the network, and a digest for every file."""
    (folder / CONFIG).unlink(missing_ok=True)
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    config = {"architecture": architecture, "sources": [asdict(source) for source in sources], **more}
    save_config(folder, config | {"files": {name: sha256(folder / name) for name in files}})
