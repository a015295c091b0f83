"""``python -m pipeline import-labeler``: other people's classifiers become network folders."""

from __future__ import annotations

__all__ = ["import_labeler"]

from pathlib import Path

import torch
import yaml
from torch import Tensor

from pipeline import console
from pipeline.attributes import nearest_name
from pipeline.config import LabelerParams, Params, load_params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.importing.labelers import import_classifier, import_embedder, import_perceptual
from pipeline.labelers import Labeler
from pipeline.labelers.checking import suspicious_embeddings, suspicious_features, suspicious_outputs
from pipeline.sampling import draw_styles
from pipeline.sections import SectionError, build_section

IMAGES = 16
BATCH = 4


@torch.no_grad()
def import_labeler(name: str | None = None, conf: str | Path = "conf") -> None:
    """Make what ``labeler.sources`` declares, and show what the networks say about a few images.

    Arguments:
        name: take the declaration from ``conf/labeler/NAME.yaml`` instead of ``params.yaml``.
        conf: the folder of the groups.

    Raises:
        PipelineError: when nothing is declared, or a source is missing or contradicts its declaration; the
            folders that are finished by then stay.
    """
    params = load_params()
    labeler = params.labeler if name is None else _declared(name, Path(conf))
    sources = labeler.sources
    if not (sources.weights or sources.judge or sources.identity or sources.perceptual):
        raise PipelineError(
            "expected classifiers to import, got none, in labeler.sources: declare them, or take a set with "
            "--labeler, such as clip_ffhq"
        )
    img = _images(params)
    for role, folder, declared in (
        ("labeler", labeler.weights, sources.weights),
        ("judge", labeler.judge, sources.judge),
    ):
        if declared:
            with console.stage(f"{role}: {folder}"):
                classifier, doubts = import_classifier(declared, folder)
                _show(classifier, img, doubts)
    if sources.identity:
        with console.stage(f"identity: {labeler.identity}"):
            embedder, doubts = import_embedder(sources.identity, labeler.identity)
            vectors = torch.cat([embedder(batch) for batch in img.split(BATCH)])
            console.result(f"embeddings of width {vectors.shape[1]}")
            _warn([*doubts, *suspicious_embeddings(vectors)])
    if sources.perceptual and labeler.perceptual:
        with console.stage(f"perceptual: {labeler.perceptual}"):
            perceptual = import_perceptual(sources.perceptual, labeler.perceptual)
            features = torch.cat([perceptual(batch) for batch in img.split(BATCH)])
            distances = torch.pdist(features.double()).square()
            ends = f"{distances.min():.3g} to {distances.max():.3g} apart"
            console.result(f"{features.shape[1]:,} features; {len(img)} images are {ends}")
            _warn(suspicious_features(distances))


def _declared(name: str, conf: Path) -> LabelerParams:
    """The section ``labeler`` of a group file."""
    path = conf / "labeler" / f"{name}.yaml"
    if not path.is_file():
        known = [found.stem for found in path.parent.glob("*.yaml")]
        raise PipelineError(
            f"expected a labeler of {path.parent}/, got {name!r}, in --labeler: {nearest_name(name, known)}"
        )
    try:
        return build_section(LabelerParams, yaml.safe_load(path.read_text()), "labeler")
    except (SectionError, yaml.YAMLError) as error:
        raise PipelineError(f"{' '.join(str(error).split())}, in {path}: correct the key there") from None


def _images(params: Params) -> Tensor:
    """A few images of the run's generator, ``[16, 3, H, W]``; what a seed shows is the same everywhere."""
    origin = params.generator
    generator = load_generator(origin.weights)
    w = draw_styles(generator, 0, range(IMAGES), origin.truncation_psi, origin.class_label)
    return torch.cat([generator.synthesize(batch) for batch in w.split(BATCH)])


def _show(labeler: Labeler, img: Tensor, doubts: list[str]) -> None:
    """The table of columns, and everything that is probably wrong."""
    scores = torch.cat([labeler(batch) for batch in img.split(BATCH)])
    stats = (scores.mean(0), scores.std(0), scores.amin(0), scores.amax(0))
    rows = [
        (column, *(f"{value:.3g}" for value in values))
        for column, *values in zip(labeler.columns, *(s.tolist() for s in stats), strict=True)
    ]
    console.table([f"over {len(img)} images", "mean", "std", "min", "max"], rows)
    _warn([*doubts, *suspicious_outputs(scores, labeler.attributes)])


def _warn(doubts: list[str]) -> None:
    for doubt in doubts:
        console.warning(doubt)
