"""A whole project in miniature: networks of a few thousand weights, and parameters that run in seconds.

``make_tiny_project`` makes the folder; ``fill_latents``, ``fill_metric`` and ``fill_labels`` make the data of
its stages without Ray; ``stage_command`` and ``run_stage`` run a stage as users do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from pipeline.attributes import Attribute, columns_of
from pipeline.config import load_params
from pipeline.data import labels_schema, read_manifest, replace_folder, write_manifest
from pipeline.generators import load_generator
from pipeline.generators.pullback import image_products, metric_sum, save_metric
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.labelers import ConvEmbedder, ConvNet, ResNet
from pipeline.labelling import LabelActor
from pipeline.paths import LABELS, LATENTS, PULLBACK
from pipeline.sampling import sample_latents
from pipeline.storage import Storage
from pipeline.weights import save_weights, weights_digest

ROOT = Path(__file__).resolve().parents[1]
ATTRIBUTES = (
    Attribute(name="gender", kind="binary"),
    Attribute(name="glasses", kind="binary"),
    Attribute(name="age"),
    Attribute(name="expression", alias="smile"),
    Attribute(name="hair", kind="categorical", classes=("dark", "fair", "grey")),
)
COLUMNS = columns_of(ATTRIBUTES)
STYLEAE = {"kind": "style_ae", "rank": 8, "layers": 1, "width": 16, "probes": 1, "probe_epochs": 2}
CLUSTER_STAGES = ("label", "pullback", "evaluate")

PARAMS: dict[str, Any] = {
    "generator": {
        "name": "tiny",
        "weights": "models/tiny/generator",
        "truncation_psi": 1.0,
        "class_label": None,
    },
    "labeler": {
        "weights": "models/tiny/labeler",
        "judge": "models/tiny/judge",
        "identity": "models/tiny/identity",
        "perceptual": None,
        "attributes": [attribute.name for attribute in ATTRIBUTES],
        "sources": {},
    },
    "sample": {"count": 80, "seed": 0, "shard_rows": 20},
    "label": {"batch_size": 8, "precision": "fp32"},
    "pullback": {"products": 64, "shard_products": 16, "batch_size": 8, "seed": 0},
    "train": {"seed": 0, "checkpoint_epochs": 2, "rows": None},
    "editor": {
        "styleae": {**STYLEAE, "epochs": 4, "batch_size": 16, "learning_rate": 0.001, "patience": 4},
        "interfacegan": {"kind": "interfacegan"},
    },
    "evaluate": {
        "count": 4,
        "chunk": 2,
        "bootstrap": 10,
        "tolerance": 0.5,
        "faces": 2,
        "explorer_faces": 2,
        "explorer_steps": 3,
    },
    "compare": {},
    "publish": {"experiment": "tiny", "headline": "success", "higher_is_better": True},
    "tracking": {"uri": "sqlite:///mlflow/mlflow.db", "artifacts": "mlflow/artifacts"},
    "cluster": {
        "address": "local",
        "connect_timeout": 5,
        **{stage: {"actors": 1, "cpus": 1, "gpus": 0} for stage in CLUSTER_STAGES},
        "train": {"workers": 1, "cpus": 1, "gpus": 0, "max_failures": 1},
    },
}


def make_tiny_project(path: Path, overrides: dict[str, Any] | None = None) -> Path:
    """Write networks and ``params.yaml`` into ``path``.

    Arguments:
        path: a folder, made if needed.
        overrides: dotted key → value, such as ``{"sample.count": 40}``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = {
            "generator": StyleGAN2(z_dim=8, w_dim=16, num_layers=2, img_resolution=16, channel_max=8),
            "labeler": ConvNet(ATTRIBUTES, resolution=16, widths=(4, 4, 4, 4, 4)),
            "judge": ResNet(ATTRIBUTES, resolution=16, widths=(4, 4), depth=1),
            "identity": ConvEmbedder(dimensions=4, resolution=16, widths=(4, 4, 4, 4, 4)),
        }
    for classifier in (networks["labeler"], networks["judge"]):
        classifier.scale.fill_(100)  # untrained scores differ in the third digit
    for role, network in networks.items():
        save_weights(path / "models/tiny" / role, network.state_dict(), network.config())
    params = yaml.safe_load(yaml.safe_dump(PARAMS))
    for key, value in (overrides or {}).items():
        *sections, last = key.split(".")
        section = params
        for name in sections:
            section = section[name]
        section[last] = value
    (path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return path


def fill_latents() -> None:
    """What the stage ``sample`` makes, in the working directory."""
    params = load_params()
    weights = params.generator.weights
    provenance = {"generator": weights_digest(weights)}
    generator, work = load_generator(weights), Storage(".work/sample/by-hand")
    sample_latents(generator, params.sample, params.generator, provenance, work, LATENTS)


def fill_metric() -> None:
    """A pull-back metric of few products, in the working directory."""
    params = load_params()
    generator = load_generator(params.generator.weights)
    ids = torch.arange(64).numpy()
    w = generator.mapping(torch.randn(64, generator.z_dim, generator=torch.Generator().manual_seed(0)))
    total = metric_sum(generator.w_dim)
    total.add(image_products(generator.prepare(), w.detach(), ids, 0))
    report = {"generator": weights_digest(params.generator.weights)}
    save_metric(PULLBACK, total.metric(1 / (64 * 3 * generator.img_resolution**2)), report)


def fill_labels() -> None:
    """What the stages ``sample`` and ``label`` make, in the working directory."""
    from pipeline.labelling import provenance_of

    fill_latents()
    params, latents = load_params(), read_manifest(LATENTS)
    provenance = provenance_of(params, latents)
    work = Path(".work/tiny")
    actor = LabelActor(
        params.generator.weights,
        params.labeler.weights,
        params.labeler.attributes,
        str(LATENTS),
        latents.schema,
        str(work),
        params.label.batch_size,
        params.label.precision,
        "cpu",
    )
    entries = [actor.label_part(file) for file in latents.files]
    schema = labels_schema(load_generator(params.generator.weights).w_dim, provenance["columns"])
    write_manifest(work / "parts", schema, entries, provenance)
    replace_folder(work / "parts", LABELS)


def stage_command(name: str, *arguments: str) -> list[str]:
    """The command line of a stage."""
    return [sys.executable, "-m", f"stages.{name}", *arguments]


def stage_environment(**variables: str) -> dict[str, str]:
    """The environment of a stage outside of the repository: it finds the code, and computes in one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}


def run_stage(
    project: Path, name: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a stage to its end in ``project``."""
    return subprocess.run(
        stage_command(name, *arguments),
        cwd=project,
        env=stage_environment(**variables),
        capture_output=True,
        text=True,
        timeout=600,
    )
