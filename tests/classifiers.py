"""Classifiers as other people bring them: real files of every format, small, made on the spot.

``write_*`` makes what a user has; ``classifier`` and ``embedder`` declare it as ``labeler.sources`` would;
``imported`` runs it through the code of ``import-labeler`` and reads the folder back.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.data import row_normals
from pipeline.generators import load_generator
from pipeline.importing.labelers import import_classifier
from pipeline.labelers import Labeler, load_labeler
from pipeline.labelers.optional import import_optional
from pipeline.labelers.sources import ClassifierSource, EmbedderSource
from pipeline.sections import build_value

PORTRAITS = Path(__file__).resolve().parents[1] / "models/portraits64"

AS_IT_IS: dict[str, Any] = {
    "resize": 64,
    "crop": None,
    "interpolation": "area",
    "antialias": False,
    "channels": "rgb",
    "low": -1.0,
    "high": 1.0,
    "mean": [0.0, 0.0, 0.0],
    "std": [1.0, 1.0, 1.0],
}
"""The declaration of a network that takes the generator's images as they are."""


def write_torchscript(path: Path, network: nn.Module, side: int = 64) -> Path:
    """``torch.jit.save`` of a trace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated as a whole, and sizes become constants
        torch.jit.trace(network, torch.zeros(2, 3, side, side), check_trace=False).save(str(path))
    return path


def write_export(path: Path, network: nn.Module, side: int = 64) -> Path:
    """``torch.export.save`` of a program with a dynamic batch."""
    shapes = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(network, (torch.zeros(2, 3, side, side),), dynamic_shapes=shapes)
    torch.export.save(program, path)
    return path


def write_onnx(path: Path, network: nn.Module, side: int = 64, external: bool = False) -> Path:
    """``torch.onnx.export`` with a dynamic batch; ``external`` puts the weights into a file beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, side, side),),
            path,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=external,
            verbose=False,
        )
    return path


WRITERS = {"torchscript": write_torchscript, "export": write_export, "onnx": write_onnx}


def write_huggingface(folder: Path, labels: tuple[str, ...] = ("calm", "glad", "sad")) -> Any:
    """A tiny vision transformer with a head, as ``save_pretrained`` writes it."""
    transformers = import_optional("transformers", "huggingface")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(50)  # an untrained head would say the same of every image
    model.save_pretrained(folder)
    return model


def write_timm(folder: Path, classes: int = 3) -> Any:
    """A small residual network of timm, as the hub keeps them."""
    timm = import_optional("timm", "timm")
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=classes).eval()
    folder.mkdir(parents=True)
    save_file(model.state_dict(), folder / "model.safetensors")
    says = {
        "architecture": "resnet10t",
        "num_classes": classes,
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
    }
    (folder / "config.json").write_text(json.dumps(says))
    return model


def write_clip(folder: Path) -> Any:
    """A tiny CLIP with a tokenizer that knows letters."""
    transformers = import_optional("transformers", "huggingface")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    tokenizer = transformers.CLIPTokenizer(vocab={token: i for i, token in enumerate(tokens)}, merges=[])
    tokenizer.save_pretrained(folder)
    shared = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = transformers.CLIPConfig(
        text_config=shared | ends | {"vocab_size": len(tokens), "max_position_embeddings": 40},
        vision_config=shared | {"image_size": 32, "patch_size": 8},
        projection_dim=8,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(config).eval()
    model.save_pretrained(folder)
    return model


def portraits_attributes() -> dict[str, Any]:
    """The embedded labeler's outputs, as a user would list them."""
    return {
        attribute.name: {"kind": attribute.kind, "outputs": [i], "alias": attribute.alias}
        for i, attribute in enumerate(load_labeler(PORTRAITS / "labeler").attributes)
    }


def portraits_images(count: int = 16) -> Tensor:
    """Images of the embedded generator, ``[count, 3, 64, 64]``, as pictures show them: within [-1, 1]."""
    generator = load_generator(PORTRAITS / "generator")
    z = torch.from_numpy(row_normals(0, range(count), generator.z_dim))
    with torch.no_grad():
        return generator.synthesize(generator.mapping(z)).clamp(-1, 1)


def classifier(kind: str, **fields: Any) -> ClassifierSource:
    """A declared classifier; ``image`` is :data:`AS_IT_IS` unless given."""
    image = {} if kind == "folder" else {"image": AS_IT_IS}
    return build_value(ClassifierSource, {"kind": kind, **image, **fields})


def embedder(kind: str, **fields: Any) -> EmbedderSource:
    """A declared embedding of identity."""
    return build_value(EmbedderSource, {"kind": kind, "image": AS_IT_IS, **fields})


def imported(folder: Path, *sources: ClassifierSource) -> Labeler:
    """The classifier that ``import-labeler`` makes of sources, read from its folder."""
    import_classifier(sources, folder)
    return load_labeler(folder)
