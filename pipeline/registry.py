"""Registered editors: one version for each trained editor, and the alias ``champion`` on the best of them.

The rule for the alias: a version takes it when nobody has it, or when its headline metric is strictly better
than the champion's own. A champion without that metric, or with one that is not a number, gives way, and so
does one of another generator, whose metric measures other edits; a tie changes nothing.
"""

from __future__ import annotations

__all__ = ["CHAMPION", "crown", "log_editor", "model_digest", "registered_version"]

import hashlib
import math
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array

from pipeline.config import Params, PublishParams
from pipeline.editors.base import Editor
from pipeline.weights import CONFIG, WEIGHTS, weights_digest

CHAMPION = "champion"
DIGEST_TAG = "styleae.model"
GENERATOR_TAG = "styleae.generator"
HEADLINE_TAG = "headline."
CODE = Path(__file__).parent
# What the served model imports; the versions are those of this environment, build tags such as +cpu left out.
REQUIREMENTS = (
    "mlflow",
    "torch",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "pyyaml",
    "rich",
)


def model_digest(editor: Path, params: Params) -> str:
    """What makes two served models the same: editor, generator, truncation and class."""
    origin = params.generator
    parts = (
        weights_digest(editor),
        weights_digest(origin.weights),
        origin.truncation_psi,
        origin.class_label,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def registered_version(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """The version of the registered model ``name`` that has these very networks, if there is one."""
    versions = client.search_model_versions(f"name='{name}'")
    return next((v for v in versions if v.tags.get(DIGEST_TAG) == digest), None)


def log_editor(
    client: MlflowClient, name: str, folder: Path, editor: Editor, params: Params, run_id: str
) -> ModelVersion:
    """Log editor and generator into the active run as a model that can be served; register a new version."""
    digest = model_digest(folder, params)
    with tempfile.TemporaryDirectory() as scratch:
        artifacts = {
            "editor": _copy_network(folder, Path(scratch) / "editor"),
            "generator": _copy_network(Path(params.generator.weights), Path(scratch) / "generator"),
        }
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(CODE / "serving_model.py"),
            artifacts=artifacts,
            code_paths=[str(CODE)],
            model_config={
                "truncation_psi": params.generator.truncation_psi,
                "class_label": params.generator.class_label,
            },
            signature=_signature(editor),
            input_example=_example(editor.columns),
            pip_requirements=[f"{package}=={version(package).partition('+')[0]}" for package in REQUIREMENTS],
        )
    try:
        client.create_registered_model(
            name, description=f"Editor `{name}` of the generator {params.generator.name}."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {DIGEST_TAG: digest, GENERATOR_TAG: weights_digest(params.generator.weights)}
    return client.create_model_version(name, info.model_uri, run_id, tags=tags, model_id=info.model_id)


def crown(client: MlflowClient, version: ModelVersion, rule: PublishParams, value: float) -> bool:
    """Note a version's headline metric and apply the rule for the alias; whether it is the champion now."""
    name, number = version.name, str(version.version)
    client.set_model_version_tag(name, number, HEADLINE_TAG + rule.headline, repr(value))
    champion = _champion(client, name)
    if champion is not None and str(champion.version) == number:
        return True
    comparable = champion is not None and _same_generator(champion, version)
    present = _number(champion.tags.get(HEADLINE_TAG + rule.headline)) if champion is not None else math.nan
    better = value > present if rule.higher_is_better else value < present
    if not comparable or (math.isnan(present) and not math.isnan(value)) or better:
        client.set_registered_model_alias(name, CHAMPION, number)
        return True
    return False


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version that has the alias."""
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such alias
            raise
        return None


def _same_generator(one: ModelVersion, other: ModelVersion) -> bool:
    """Whether two versions edit the images of one generator; a version that does not say edits anyone's."""
    known = {version.tags[GENERATOR_TAG] for version in (one, other) if GENERATOR_TAG in version.tags}
    return len(known) < 2


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _copy_network(source: Path, target: Path) -> str:
    """The two files of a network, without what lies beside them, in a folder that the served model knows."""
    target.mkdir()
    for file in (WEIGHTS, CONFIG):
        shutil.copyfile(source / file, target / file)
    return str(target)


def _signature(editor: Editor) -> ModelSignature:
    """Columns of :mod:`pipeline.serving_model`."""
    style = Array(DataType.double)
    styles = ColSpec(style, "w", required=False)
    edited = ColSpec(Array(style) if editor.restricted else style, "w")
    strengths = [ColSpec(DataType.double, column, required=False) for column in editor.columns]
    return ModelSignature(
        inputs=Schema([ColSpec(DataType.long, "seed", required=False), styles, *strengths]),
        outputs=Schema([edited, ColSpec(DataType.string, "image", required=False)]),
        params=ParamSchema([ParamSpec("return_images", DataType.boolean, False)]),
    )


def _example(columns: tuple[str, ...]) -> pd.DataFrame:
    """Two faces, one attribute moved up and down."""
    return pd.DataFrame({"seed": [7, 7], columns[0]: [-1.5, 1.5]})
