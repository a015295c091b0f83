"""Models of transformers: configuration and safetensors, and nothing else of a folder."""

from __future__ import annotations

__all__ = ["import_huggingface", "read_pretrained"]

import json
from pathlib import Path
from typing import Any

from pipeline.console import verbose
from pipeline.errors import PipelineError
from pipeline.importing.disagreements import PREPROCESSOR, disagreements, huggingface_says
from pipeline.importing.hub import model_folder
from pipeline.labelers.huggingface import HuggingFaceBackbone
from pipeline.labelers.optional import import_optional
from pipeline.labelers.sources import HuggingFaceClassifier, HuggingFaceModel
from pipeline.weights import save_weights


def import_huggingface(
    source: HuggingFaceClassifier | HuggingFaceModel, staging: Path
) -> tuple[dict[str, Any], list[str]]:
    """Write a model's tensors into a network folder.

    Returns:
        the model's configuration, and where the folder and the declaration disagree.

    Raises:
        PipelineError: see :func:`read_pretrained`.
    """
    transformers = import_optional("transformers", "huggingface")
    folder = model_folder(source.model, source.revision)
    pooling = source.pooling if isinstance(source, HuggingFaceModel) else None
    factory = transformers.AutoModelForImageClassification if pooling is None else transformers.AutoModel
    model = read_pretrained(factory, folder, unused="pooler." if pooling in ("cls", "mean") else None)
    save_weights(staging, HuggingFaceBackbone(model, pooling).state_dict(), {})
    network = json.loads(model.config.to_json_string(use_diff=False))
    return network, disagreements(source.image, huggingface_says(folder), PREPROCESSOR)


def read_pretrained(factory: Any, folder: Path, unused: str | None = None) -> Any:  # noqa: ANN401
    """A model as transformers reads it: from safetensors, with the library's own code, every tensor there.

    Arguments:
        factory: a class of transformers with ``from_pretrained``.
        folder: the model's.
        unused: how the names of tensors begin that may be missing, because nothing asks for them; they become
            zero, so that two imports give the same bytes.

    Raises:
        PipelineError: when it is no such model, has only pickled weights or code of its own, or tensors lack,
            which transformers would fill with random numbers.
    """
    if not verbose():  # a bar, and a report of what is refused or wanted below
        transformers = import_optional("transformers", "huggingface")
        transformers.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
    try:
        model, report = factory.from_pretrained(
            folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            dtype="float32",
            output_loading_info=True,
        )
    except Exception as error:  # every model class has its own
        reason = " ".join(str(error).split())[:200]
        raise PipelineError(
            f"expected a model of transformers with safetensors, got {reason!r}, in {folder}: check "
            "labeler.sources"
        ) from None
    for name in sorted({*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])}):
        if unused is None or not name.startswith(unused):
            raise PipelineError(
                f"expected all tensors of {type(model).__name__}, got none for {name}, in {folder}: "
                "is this model trained for another task?"
            )
        model.get_parameter(name).detach().zero_()
    return model.eval()
