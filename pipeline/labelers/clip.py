"""CLIP without its text side (arXiv 2103.00020): texts were embedded at import, and are tensors here.

A score is what CLIP's softmax would see: the cosine of image and text times the model's logit scale. For a
pair of texts it is the difference of the two, so a binary column is the logit of the second text against the
first. As that is linear in the text, one vector for each output is all that is kept.
"""

from __future__ import annotations

__all__ = ["ClipBackbone", "build_clip"]

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.labelers.optional import import_optional


class ClipBackbone(nn.Module):
    """CLIP's image side, and what images are held against.

    Arguments:
        vision: a ``CLIPVisionModelWithProjection``.
        texts: outputs O; ``None`` gives the embeddings of images as they are.
        width: of the space that images and texts share.
    """

    texts: Tensor

    def __init__(self, vision: nn.Module, texts: int | None, width: int) -> None:
        super().__init__()
        self.vision = vision
        if texts is not None:
            self.register_buffer("texts", torch.zeros(texts, width))

    def forward(self, x: Tensor) -> Tensor:
        """Scores ``[N, O]``, or unit embeddings ``[N, width]``, of prepared images ``[N, 3, H, W]``."""
        unit = F.normalize(self.vision(pixel_values=x).image_embeds, dim=1)
        return unit @ self.texts.T if hasattr(self, "texts") else unit


def build_clip(network: Mapping[str, Any], texts: int | None) -> ClipBackbone:
    """A backbone with fresh weights.

    Arguments:
        network: the fields of a ``CLIPVisionConfig``.
        texts: outputs; ``None`` for embeddings.
    """
    transformers = import_optional("transformers", "huggingface")
    config = transformers.CLIPVisionConfig(**network)
    vision = transformers.CLIPVisionModelWithProjection._from_config(config, dtype="float32")
    return ClipBackbone(vision, texts, config.projection_dim)
