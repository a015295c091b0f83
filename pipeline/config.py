"""The parameters of a run: ``params.yaml`` as typed, frozen dataclasses, one for each section.

Unknown keys, wrong types and values out of range are refused when the file is read, before any work.
"""

from __future__ import annotations

__all__ = [
    "Actors",
    "ClusterParams",
    "CompareParams",
    "EditorParams",
    "EvaluateParams",
    "GeneratorParams",
    "LabelParams",
    "LabelerParams",
    "Params",
    "PublishParams",
    "PullbackParams",
    "SampleParams",
    "TrackingParams",
    "TrainParams",
    "Workers",
    "load_params",
    "parse_params",
]

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pipeline.attributes import nearest_name
from pipeline.editors.flow_settings import PluGeNParams, StyleFlowParams
from pipeline.editors.peer_settings import (
    DisentanglerParams,
    MeanDifferenceParams,
    PartialEffectParams,
    RidgeParams,
)
from pipeline.editors.settings import InterfaceGANParams, StyleAEParams
from pipeline.errors import PipelineError
from pipeline.labelers.sources import Sources
from pipeline.reporting import CompareParams, EvaluateParams, PublishParams, TrackingParams
from pipeline.resources import Actors, ClusterParams, Workers
from pipeline.scoring import Precision
from pipeline.sections import SEED_MAX, SectionError, build_section, require, require_name

EditorParams = (
    StyleAEParams
    | InterfaceGANParams
    | StyleFlowParams
    | PluGeNParams
    | DisentanglerParams
    | MeanDifferenceParams
    | PartialEffectParams
    | RidgeParams
)

JUDGE_NEEDED = (
    "expected a second classifier, trained apart, that scores the edits, got none: a classifier never marks "
    "its own homework, so name a folder, such as one that `python -m pipeline import-labeler` makes from CLIP"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorParams:
    """The frozen generator.

    Attributes:
        name: what reports call it.
        weights: its folder, ``weights.safetensors`` and ``config.json``.
        truncation_psi: how far styles keep from the mean style, in (0, 1]; 1 is no truncation.
        class_label: the class that a conditional generator makes, from 0 on; ``None`` draws one for each row.
    """

    name: str
    weights: str
    truncation_psi: float = 1.0
    class_label: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "truncation_psi", above=0, at_most=1)
        require(self, "class_label", at_least=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelerParams:
    """The classifiers.

    Attributes:
        weights: folder of the classifier that labels.
        judge: folder of the classifier that scores; trained apart from the labeler.
        identity: folder of the embedding in which the same person stays close.
        perceptual: folder of the network whose squared distances are LPIPS; ``None`` leaves that number out.
        attributes: the attributes to label and edit, in the order of the label columns.
        sources: what ``import-labeler`` makes the folders of, when they are not there already.
    """

    weights: str
    judge: str = field(metadata={"needed": JUDGE_NEEDED})
    identity: str
    attributes: tuple[str, ...]
    perceptual: str | None = None
    sources: Sources = Sources()

    def __post_init__(self) -> None:
        """Refuse an empty or repeated list of attributes, and a classifier that marks its own homework."""
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise SectionError(
                "attributes", f"expected different names, at least one, got {list(self.attributes)}"
            )
        if self.weights == self.judge:
            raise SectionError(
                "judge", f"expected another classifier than labeler.weights, got {self.judge!r} for both"
            )
        if self.sources.perceptual and not self.perceptual:
            raise SectionError("perceptual", "expected a folder for sources.perceptual, got none: name one")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleParams:
    """The latents.

    Attributes:
        count: rows, at least 20, so that every split has one.
        seed: row i is a function of (seed, i) alone.
        shard_rows: rows of one Parquet file, the unit of work and of resume.
    """

    count: int = 10_000
    seed: int = 0
    shard_rows: int = 500

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "count", at_least=20, at_most=10**9)
        require(self, "seed", at_least=0, at_most=SEED_MAX)
        require(self, "shard_rows", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelParams:
    """Labelling; both values decide the bytes of the labels.

    Attributes:
        batch_size: images that go through the networks at once.
        precision: arithmetic of the networks.
    """

    batch_size: int = 50
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        """Check the range."""
        require(self, "batch_size", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PullbackParams:
    """The generator's pull-back metric, a mean over vector-Jacobian products.

    Attributes:
        products: how many products, a few times ``w_dim`` and more; the next multiple of ``noises`` is made.
        shard_products: products of one shard, the unit of work and of resume; likewise.
        batch_size: styles computed at once.
        noises: products for each style: they share its forward pass.
        per_layer: whether to make a metric for each layer, too; takes the memory of ``num_ws`` metrics.
        seed: seeds latents and image noise, row by row.
    """

    products: int = 3_200
    shard_products: int = 200
    batch_size: int = 10
    noises: int = 4
    per_layer: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "products", "shard_products", "batch_size", "noises", at_least=1)
        require(self, "seed", at_least=0, at_most=SEED_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainParams:
    """What all editors share in training.

    Attributes:
        seed: seeds initial weights and the order of batches.
        checkpoint_epochs: epochs between checkpoints: what a kill may lose.
        rows: most latents of each split that are read, its first ones; ``None`` for all. A worker holds them.
    """

    seed: int = 0
    checkpoint_epochs: int = 10
    rows: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        require(self, "seed", at_least=0, at_most=SEED_MAX)
        require(self, "checkpoint_epochs", "rows", at_least=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """All sections of ``params.yaml``; see the class of each.

    Attributes:
        editor: the settings of each editor by its name, in the order of the file.
    """

    generator: GeneratorParams
    labeler: LabelerParams
    sample: SampleParams
    label: LabelParams
    pullback: PullbackParams
    train: TrainParams
    editor: Mapping[str, EditorParams]
    evaluate: EvaluateParams
    compare: CompareParams
    publish: PublishParams
    tracking: TrackingParams
    cluster: ClusterParams

    def __post_init__(self) -> None:
        """Check what no section can check alone."""
        if not self.editor:
            raise SectionError("editor", "expected at least one editor, got none")
        for name, settings in self.editor.items():
            require_name("editor", name)
            named = settings.binary if isinstance(settings, InterfaceGANParams) else ()
            for column in named if named != "auto" else ():
                if column.partition(".")[0] not in self.labeler.attributes:
                    near = nearest_name(column, self.labeler.attributes)
                    text = f"expected labeler.attributes, got {column!r}, {near}"
                    raise SectionError(f"editor.{name}.binary", text)

    def editor_settings(self, name: str) -> EditorParams:
        """The settings of one editor, by its name or that of one of its trainings, ``NAME@SEED``.

        Raises:
            PipelineError: for an unknown name, with the nearest known one.
        """
        editor = name.partition("@")[0]
        if editor not in self.editor:
            near = nearest_name(editor, self.editor)
            raise PipelineError(f"unknown editor {editor!r}, in params.yaml: {near}")
        return self.editor[editor]

    def trainings_of(self, name: str) -> list[str]:
        """Its trainings, ``NAME@SEED``: a closed form comes out alike with any seed, so it has one."""
        count = None if hasattr(self.editor_settings(name), "epochs") else 1
        return [f"{name}@{seed}" for seed in self.compare.seeds[:count]] or [name]

    def seed_of(self, name: str) -> int:
        """The seed of a training: that of ``NAME@SEED``, or ``train.seed``.

        Raises:
            PipelineError: for a seed that is none.
        """
        _, at, seed = name.partition("@")
        if at and not seed.isdigit():
            raise PipelineError(f"expected a seed after the @, such as styleae@1, got {name!r}: correct it")
        return int(seed) if at else self.train.seed


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check a parameter file.

    Raises:
        PipelineError: when the file is missing or is no YAML, and for the first key that is unknown, missing,
            of the wrong type or out of range, with what is allowed.
    """
    try:
        text = Path(path).read_text()
    except (FileNotFoundError, UnicodeDecodeError) as error:
        found = "none" if isinstance(error, FileNotFoundError) else "other bytes than text"
        raise PipelineError(
            f"expected a parameter file, got {found}, in {path}: run `python -m pipeline compose`"
        ) from None
    return parse_params(text, str(path))


def parse_params(text: str, source: str) -> Params:
    """The parameters in a YAML text; ``source`` is where errors say that it came from.

    Raises:
        PipelineError: see :func:`load_params`.
    """
    try:
        return build_section(Params, yaml.safe_load(text))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise PipelineError(f"expected YAML, got a syntax error, in {source}: {reason}") from None
    except SectionError as error:
        raise PipelineError(f"{error}, in {source}: correct the key there") from None
