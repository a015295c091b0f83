"""Do the networks that the parameters name exist and fit together? Asked before any long work."""

from __future__ import annotations

__all__ = ["check_networks"]

import torch

from pipeline.config import Params
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_embedder, load_labeler
from pipeline.sampling import draw_styles


@torch.no_grad()
def check_networks(params: Params) -> None:
    """Load every network and push one image through all of them; takes about a second.

    Raises:
        PipelineError: when a folder is missing or damaged, a classifier does not know an attribute or gives
            another number of columns than it promises, or a network gives numbers that are not finite.
    """
    generator = load_generator(params.generator.weights)
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
