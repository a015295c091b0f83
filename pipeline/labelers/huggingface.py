"""Models of Hugging Face's transformers, built from their configuration and filled with safetensors.

The library's own code is all that runs: a model folder's Python files are never asked for.
"""

from __future__ import annotations

__all__ = ["HuggingFaceBackbone", "build_huggingface", "label_places"]

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from pipeline.labelers.optional import import_optional

Pooling = Literal["pooler", "cls", "mean"]


class HuggingFaceBackbone(nn.Module):
    """A model of transformers as a module of images.

    Arguments:
        model: a classifier of images, or a model without a head.
        pooling: what of a model without a head is its embedding; ``None`` for a classifier.
    """

    def __init__(self, model: nn.Module, pooling: Pooling | None) -> None:
        super().__init__()
        self.model, self.pooling = model, pooling

    def forward(self, x: Tensor) -> Tensor:
        """Logits or embeddings ``[N, O]`` of prepared images ``[N, 3, H, W]``."""
        outputs = self.model(pixel_values=x)
        match self.pooling:
            case None:
                return outputs.logits
            case "pooler":
                return outputs.pooler_output.flatten(1)
            case "cls":
                return outputs.last_hidden_state[:, 0]
            case "mean":
                return outputs.last_hidden_state.mean(dim=1)


def build_huggingface(network: Mapping[str, Any], pooling: Pooling | None) -> HuggingFaceBackbone:
    """A backbone with fresh weights.

    Arguments:
        network: the content of the model's own ``config.json``.
        pooling: see :class:`HuggingFaceBackbone`.
    """
    transformers = import_optional("transformers", "huggingface")
    factory = transformers.AutoModelForImageClassification if pooling is None else transformers.AutoModel
    config = transformers.AutoConfig.for_model(**network)
    model = factory.from_config(config, trust_remote_code=False, dtype="float32")
    return HuggingFaceBackbone(model, pooling)


def label_places(network: Mapping[str, Any]) -> dict[str, int]:
    """The model's names of its outputs, with their places."""
    return {label: int(place) for place, label in network.get("id2label", {}).items()}
