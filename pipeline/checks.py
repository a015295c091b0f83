"""Do the networks that the parameters name exist and fit together? Asked before any long work."""

from __future__ import annotations

__all__ = ["check_imported", "check_networks"]

from pathlib import Path

import torch

from pipeline.config import LabelerParams, Params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_embedder, load_labeler
from pipeline.labelers.sources import classifier_sources, embedder_source
from pipeline.sampling import draw_styles
from pipeline.scoring import check_precision
from pipeline.weights import CONFIG, load_config


@torch.no_grad()
def check_networks(params: Params) -> None:
    """Load every network and push one image through all of them; takes about a second.

    Raises:
        PipelineError: when a folder is missing or damaged, a classifier does not know an attribute or gives
            another number of columns than it promises, a network gives numbers that are not finite, or a
            classifier was not imported from what the parameters declare.
    """
    check_imported(params.labeler)
    generator = load_generator(params.generator.weights)
    check_precision(generator, params.label.precision)
    origin = params.generator
    img = generator.synthesize(draw_styles(generator, 0, [0], origin.truncation_psi, origin.class_label))
    if img.shape[1] != 3 or not torch.isfinite(img).all():
        raise PipelineError(
            f"expected finite RGB images, got shape {list(img.shape)} and mean {img.mean().item()}, "
            f"in {params.generator.weights}: check generator.weights"
        )
    for folder in (params.labeler.weights, params.labeler.judge):
        labeler = load_labeler(folder, params.labeler.attributes)
        scores = labeler(img)
        if scores.shape != (1, len(labeler.columns)) or not torch.isfinite(scores).all():
            raise PipelineError(
                f"expected {len(labeler.columns)} finite scores for each image, got {scores.tolist()}, "
                f"in {folder}: the classifier does not match its config.json"
            )
    load_embedder(params.labeler.identity)(img)


def check_imported(labeler: LabelerParams) -> None:
    """Hold the folders to the sources that are declared for them; a role without sources is not looked at.

    Raises:
        PipelineError: when a folder was not imported yet, or from another declaration.
    """
    declared = labeler.sources
    for role, folder, source in (
        ("weights", labeler.weights, declared.weights),
        ("judge", labeler.judge, declared.judge),
        ("identity", labeler.identity, declared.identity),
    ):
        if not source:
            continue
        if not (Path(folder) / CONFIG).is_file():
            raise PipelineError(
                f"expected what labeler.sources.{role} declares, got no network, in {folder}: "
                "run `python -m pipeline import-labeler`"
            )
        read = embedder_source if role == "identity" else classifier_sources
        if read(load_config(folder), folder) != source:
            raise PipelineError(
                f"expected what labeler.sources.{role} declares, got a network of another declaration, "
                f"in {folder}: run `python -m pipeline import-labeler`"
            )
