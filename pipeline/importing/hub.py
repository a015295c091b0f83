"""Models as the Hugging Face hub keeps them: a local folder, or a name that is downloaded once."""

from __future__ import annotations

__all__ = ["model_folder"]

from pathlib import Path

from pipeline.errors import PipelineError
from pipeline.labelers.optional import import_optional

FILES = ["*.json", "*.txt", "model*.safetensors"]
"""Configuration, vocabulary and weights; never code, and never pickles."""


def model_folder(model: str, revision: str | None) -> Path:
    """The folder of a model.

    Arguments:
        model: a folder (or file) here, or else a name on the hub.
        revision: branch, tag or commit on the hub.

    Raises:
        PipelineError: when there is neither, or the hub cannot be reached.
    """
    if Path(model).exists():
        return Path(model)
    hub = import_optional("huggingface_hub", "huggingface")
    try:
        return Path(hub.snapshot_download(model, revision=revision, allow_patterns=FILES))
    except Exception as error:  # of the network, of the hub, of a name that is none: many classes
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected a folder or a model on the Hugging Face hub, got {reason!r}, in {model}: check the "
            "name and the network, or download the model and give its folder"
        ) from None
