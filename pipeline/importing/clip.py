"""CLIP: the image side is copied, the texts are embedded once and for all."""

from __future__ import annotations

__all__ = ["import_clip", "text_vectors"]

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.importing.disagreements import PREPROCESSOR, disagreements, huggingface_says
from pipeline.importing.hub import model_folder
from pipeline.importing.huggingface import read_pretrained
from pipeline.labelers.optional import import_optional
from pipeline.labelers.prompts import Prompts
from pipeline.labelers.sources import ClipClassifier, ClipModel
from pipeline.weights import save_weights

IMAGE_SIDE = ("vision_model.", "visual_projection.")


def import_clip(source: ClipModel, staging: Path) -> tuple[dict[str, Any], list[str]]:
    """Write the image side, and a vector for each output, into a network folder.

    Returns:
        the configuration of the image side, and where folder and declaration disagree.

    Raises:
        PipelineError: when it is no CLIP model with safetensors, or a text is too long for it.
    """
    transformers = import_optional("transformers", "huggingface")
    folder = model_folder(source.model, source.revision)
    model = read_pretrained(transformers.CLIPModel, folder)
    tensors = {f"vision.{n}": t for n, t in model.state_dict().items() if n.startswith(IMAGE_SIDE)}
    if isinstance(source, ClipClassifier):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
        vectors = [text_vectors(prompts, model, tokenizer) for prompts in source.attributes.values()]
        tensors["texts"] = torch.cat(vectors)
    save_weights(staging, tensors, {})
    network = model.config.vision_config.to_dict() | {"projection_dim": model.config.projection_dim}
    return network, disagreements(source.image, huggingface_says(folder), PREPROCESSOR)


@torch.no_grad()
def text_vectors(prompts: Prompts, model: Any, tokenizer: Any) -> Tensor:  # noqa: ANN401
    """What the unit embedding of an image is multiplied by: ``[1, D]`` for a pair, ``[C, D]`` for classes.

    Several texts of one side are averaged on the unit sphere, as CLIP's authors do (arXiv 2103.00020, 3.1.4).
    """
    sides = torch.cat([_side_vector(texts, model, tokenizer) for texts in prompts.sides])
    scaled = sides * model.logit_scale.exp()
    return scaled if prompts.classes else scaled[1:] - scaled[:1]


def _side_vector(texts: Sequence[str], model: Any, tokenizer: Any) -> Tensor:  # noqa: ANN401
    """The unit vector ``[1, D]`` of texts that say the same."""
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    if (length := tokens["input_ids"].shape[1]) > (most := model.config.text_config.max_position_embeddings):
        raise PipelineError(
            f"expected texts of at most {most} tokens, got {length}, in prompts, {max(texts, key=len)!r}: "
            "shorten it"
        )
    text = model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    unit = F.normalize(model.text_projection(text.pooler_output), dim=1)
    return F.normalize(unit.mean(dim=0, keepdim=True), dim=1)
