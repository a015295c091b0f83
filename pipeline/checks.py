"""Do the networks that the parameters name exist and fit together? Asked before any long work."""

from __future__ import annotations

__all__ = ["check_networks"]

import torch

from pipeline.config import Params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.inversion import read_pictures
from pipeline.labelers import load_embedder, load_labeler, load_perceptual
from pipeline.labelers.imported import check_imported
from pipeline.sampling import draw_styles
from pipeline.scoring import check_precision


@torch.no_grad()
def check_networks(params: Params) -> None:
    """Load every network and push one image through all of them; takes about a second.

    Raises:
        PipelineError: when a folder is missing or damaged, a classifier does not know an attribute or gives
            another number of columns than it promises, a network gives numbers that are not finite, or a
            classifier was not imported from what the parameters declare.
    """
    declared, origin = params.labeler, params.generator
    check_imported(declared.weights, declared.sources, "weights")
    check_imported(declared.judge, declared.sources, "judge")
    check_imported(declared.identity, declared.sources, "identity")
    if declared.perceptual:
        check_imported(declared.perceptual, declared.sources, "perceptual")
    generator = load_generator(origin.weights)
    check_precision(generator, params.label.precision)
    img = generator.synthesize(draw_styles(generator, 0, [0], origin.truncation_psi, origin.class_label))
    if img.shape[1] != 3 or not torch.isfinite(img).all():
        raise PipelineError(
            f"expected finite RGB images, got shape {list(img.shape)} and mean {img.mean().item()}, "
            f"in {origin.weights}: check generator.weights"
        )
    for folder in (declared.weights, declared.judge):
        labeler = load_labeler(folder, declared.attributes)
        scores = labeler(img)
        if scores.shape != (1, len(labeler.columns)) or not torch.isfinite(scores).all():
            raise PipelineError(
                f"expected {len(labeler.columns)} finite scores for each image, got {scores.tolist()}, "
                f"in {folder}: the classifier does not match its config.json"
            )
    load_embedder(declared.identity)(img)
    if declared.perceptual:
        load_perceptual(declared.perceptual)(img)
    if params.evaluate.pictures:
        read_pictures(params.evaluate.pictures, generator.img_resolution)
