"""Where classifiers and other networks come from: the declarations under ``labeler.sources``.

``python -m pipeline import-labeler`` makes network folders of them, and ``config.json`` there holds the same
declaration. One dataclass for each format; ``kind`` tells them apart. A classifier adds ``attributes`` to the
model that it is made of; an embedding of identity is a model alone, whose output is the embedding. (No slots
here: Python cannot merge two classes that have them.)
"""

from __future__ import annotations

__all__ = [
    "ClassifierSource",
    "ClipClassifier",
    "ClipModel",
    "EmbedderSource",
    "ExportClassifier",
    "ExportModel",
    "FolderClassifier",
    "HuggingFaceClassifier",
    "HuggingFaceModel",
    "OnnxClassifier",
    "OnnxModel",
    "PerceptualSource",
    "Sources",
    "TimmClassifier",
    "TimmModel",
    "TorchScriptClassifier",
    "TorchScriptModel",
    "classifier_sources",
    "embedder_source",
]

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import PipelineError
from pipeline.labelers.preprocessing import ImageInput
from pipeline.labelers.prompts import Prompts
from pipeline.labelers.readout import Outputs
from pipeline.sections import SectionError, build_value
from pipeline.weights import CONFIG


@dataclass(frozen=True, kw_only=True)
class _Program:
    """A file that is a program with its weights.

    Attributes:
        file: its path.
        image: how it was shown its training images.
        output: which one is meant, when the program gives several; for ONNX also its name.
    """

    file: str
    image: ImageInput
    output: int | str = 0

    @property
    def origin(self) -> str:
        """What tells one network from another."""
        return self.file


@dataclass(frozen=True, kw_only=True)
class TorchScriptModel(_Program):
    """What ``torch.jit.save`` writes, a program in a subset of Python that reaches nothing but tensors."""

    kind: Literal["torchscript"]


@dataclass(frozen=True, kw_only=True)
class ExportModel(_Program):
    """What ``torch.export.save`` writes, a graph of tensor operators (``.pt2``), with a dynamic batch."""

    kind: Literal["export"]


@dataclass(frozen=True, kw_only=True)
class OnnxModel(_Program):
    """A graph of ONNX operators, with a dynamic batch; needs the extra ``onnx``."""

    kind: Literal["onnx"]


@dataclass(frozen=True, kw_only=True)
class _HubModel:
    """A model folder as the Hugging Face hub keeps them.

    Attributes:
        model: a local folder, or else a name on the hub, which is downloaded once, at import.
        revision: branch, tag or commit on the hub; ``None`` takes what is current at import.
        image: how it was shown its training images.
    """

    model: str
    revision: str | None = None
    image: ImageInput

    @property
    def origin(self) -> str:
        """What tells one network from another."""
        return self.model


@dataclass(frozen=True, kw_only=True)
class HuggingFaceModel(_HubModel):
    """Any ``AutoModel`` of transformers; needs the extra ``huggingface``.

    Attributes:
        pooling: what of it is the embedding: its own ``pooler`` output, the first (``cls``) token or the
            ``mean`` of all tokens.
    """

    kind: Literal["huggingface"]
    pooling: Literal["pooler", "cls", "mean"]


@dataclass(frozen=True, kw_only=True)
class TimmModel(_HubModel):
    """A model of timm; needs the extra ``timm``.

    Attributes:
        model: a folder or hub name as above, with ``config.json``; or a file of weights alone.
        architecture: timm's name of the architecture, for a file of weights alone.
        num_classes: outputs of the network, for a file of weights alone.
    """

    kind: Literal["timm"]
    architecture: str | None = None
    num_classes: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClipModel(_HubModel):
    """The image side of a ``CLIPModel`` of transformers; needs the extra ``huggingface``."""

    kind: Literal["clip"]


@dataclass(frozen=True, kw_only=True)
class _Classifier:
    """What makes a classifier of a model.

    Attributes:
        attributes: the name of each attribute, and which outputs say what about it.
    """

    attributes: Mapping[str, Outputs]

    def __post_init__(self) -> None:
        """Refuse an empty list, names that no attribute may have, labels where outputs have none."""
        _check_attributes(self.attributes)
        for name, declared in self.attributes.items():
            labels = [output for output in declared.outputs if isinstance(output, str)]
            if labels and not isinstance(self, HuggingFaceClassifier):
                problem = f"expected places from 0, got {labels}: only 'huggingface' has labels"
                raise SectionError(f"attributes.{name}.outputs", problem)


@dataclass(frozen=True, kw_only=True)
class TorchScriptClassifier(TorchScriptModel, _Classifier):
    """A classifier that ``torch.jit.save`` wrote."""


@dataclass(frozen=True, kw_only=True)
class ExportClassifier(ExportModel, _Classifier):
    """A classifier that ``torch.export.save`` wrote."""


@dataclass(frozen=True, kw_only=True)
class OnnxClassifier(OnnxModel, _Classifier):
    """A classifier in ONNX."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceClassifier(_HubModel, _Classifier):
    """Any ``AutoModelForImageClassification`` of transformers; needs the extra ``huggingface``."""

    kind: Literal["huggingface"]


@dataclass(frozen=True, kw_only=True)
class TimmClassifier(TimmModel, _Classifier):
    """A classifier of timm."""


@dataclass(frozen=True, kw_only=True)
class ClipClassifier(ClipModel):
    """Attributes in words: images are held against texts, and nothing is trained.

    Attributes:
        attributes: the name of each attribute, and how its sides are put into words.
    """

    attributes: Mapping[str, Prompts]

    def __post_init__(self) -> None:
        """Refuse an empty list and names that no attribute may have."""
        _check_attributes(self.attributes)


@dataclass(frozen=True, kw_only=True)
class FolderClassifier:
    """A network folder of our own, to be combined with others.

    Attributes:
        folder: its path.
        attributes: which of its attributes to take.
    """

    kind: Literal["folder"]
    folder: str
    attributes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse an empty list."""
        if not self.attributes:
            raise SectionError("attributes", "expected at least one attribute, got none")

    @property
    def origin(self) -> str:
        """What tells one network from another."""
        return self.folder


ClassifierSource = (
    TorchScriptClassifier
    | ExportClassifier
    | OnnxClassifier
    | HuggingFaceClassifier
    | TimmClassifier
    | ClipClassifier
    | FolderClassifier
)
EmbedderSource = TorchScriptModel | ExportModel | OnnxModel | HuggingFaceModel | TimmModel | ClipModel
PerceptualSource = TorchScriptModel | ExportModel | OnnxModel  # a library's features lack the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What ``import-labeler`` makes the folders of; a role without a source is a network folder already.

    Attributes:
        weights: what ``labeler.weights`` is made of; several sources supply different attributes.
        judge: what ``labeler.judge`` is made of; other networks than those that label.
        identity: what ``labeler.identity`` is made of.
        perceptual: what ``labeler.perceptual`` is made of.
    """

    weights: tuple[ClassifierSource, ...] = ()
    judge: tuple[ClassifierSource, ...] = ()
    identity: EmbedderSource | None = None
    perceptual: PerceptualSource | None = None

    def __post_init__(self) -> None:
        """Refuse an attribute from two sources, and a network that marks its own homework."""
        for role in ("weights", "judge"):
            names = Counter(name for source in getattr(self, role) for name in source.attributes)
            if twice := [name for name, count in names.items() if count > 1]:
                raise SectionError(role, f"expected each attribute from one source, got {twice} from several")
        if shared := {source.origin for source in self.weights} & {source.origin for source in self.judge}:
            problem = f"expected other networks than those of sources.weights, got {sorted(shared)} in both"
            raise SectionError("judge", problem)


def classifier_sources(config: Mapping[str, Any], folder: str | Path) -> tuple[ClassifierSource, ...]:
    """The declarations that a classifier's ``config.json`` holds; none for a network of our own.

    Raises:
        PipelineError: when they are not what they should be.
    """
    return _read(tuple[ClassifierSource, ...], config.get("sources", []), folder)


def embedder_source(config: Mapping[str, Any], folder: str | Path) -> EmbedderSource | None:
    """The same for an embedding; ``None`` for a network of our own."""
    declared = _read(tuple[EmbedderSource, ...], config.get("sources", []), folder)
    return declared[0] if declared else None


def _read(hint: Any, value: object, folder: str | Path) -> Any:  # noqa: ANN401
    """``sources`` of a ``config.json`` as dataclasses."""
    try:
        return build_value(hint, value, "sources")
    except SectionError as error:
        raise PipelineError(f"{error}, in {Path(folder) / CONFIG}: import the network again") from None


def _check_attributes(attributes: Mapping[str, Outputs] | Mapping[str, Prompts]) -> None:
    """Every attribute can be made, and there is one."""
    if not attributes:
        raise SectionError("attributes", "expected at least one attribute, got none")
    for name, declared in attributes.items():
        try:
            declared.attribute(name)
        except PipelineError as error:
            raise SectionError("attributes", str(error)) from None
