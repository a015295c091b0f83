"""A project in miniature with two finished editors, a migrated database to copy, and a real MLflow server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from pipeline.config import load_params
from pipeline.data import attach_labels, labels_schema, latents_table, part_name, write_manifest, write_part
from pipeline.editors import EditingData, save_editor
from pipeline.editors.interfacegan import InterFaceGAN
from pipeline.editors.settings import InterfaceGANParams
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.weights import save_weights
from tests.fakes import fake_context
from tests.mlflow_server import mlflow_server

COLUMNS = ("gender", "age", "expression")
ROWS = 60
HISTORY = "epoch,loss,val_loss\n1,0.5,0.6\n2,0.4,0.5\n3,0.3,0.45\n"


def write_editor(name: str, seed: int, success: float) -> None:
    """An editor with its history and evaluation, in the folder of the project."""
    generator = StyleGAN2(z_dim=8, w_dim=16, num_layers=1, img_resolution=8, channel_max=4)
    rng = np.random.default_rng(seed)
    w = torch.tensor(rng.normal(size=(ROWS, 16)), dtype=torch.float32)
    data = EditingData(w, torch.tensor(rng.normal(size=(ROWS, 3)), dtype=torch.float32), COLUMNS)
    editor = InterFaceGAN.build(InterfaceGANParams(binary=("gender",)), data, fake_context(generator), seed)
    save_editor(editor, f"models/{name}")
    Path(f"models/{name}/history.csv").write_text(HISTORY)
    Path(f"models/{name}/run.json").write_text('{"run_id": null}\n')
    write_report(name, success)


def write_report(name: str, success: float) -> None:
    """The evaluation of an editor."""
    report = Path("reports") / name
    (report / "figures").mkdir(parents=True, exist_ok=True)
    metrics = {"success": success, "attributes": {"age": {"success": success}}, "editor": name}
    (report / "metrics.json").write_text(json.dumps(metrics))
    (report / "explorer.html").write_text("<!doctype html><title>explorer</title>")
    Image.new("RGB", (8, 8), "red").save(report / "figures" / "edits.png")


@pytest.fixture
def project(tmp_path, monkeypatch, migrated):
    """The parameters of a project with two finished editors; it is the working directory."""
    parameters = yaml.safe_load(Path("params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    torch.manual_seed(0)
    generator = StyleGAN2(z_dim=8, w_dim=16, num_layers=1, img_resolution=8, channel_max=4)
    save_weights("models/tiny/generator", generator.state_dict(), generator.config())
    rng = np.random.default_rng(0)
    latents = latents_table(np.arange(ROWS), rng.normal(size=(ROWS, 16)))
    table = attach_labels(latents, rng.normal(size=(ROWS, 3)), COLUMNS)
    entry = write_part(Path("data/labels"), part_name(0), table)
    write_manifest("data/labels", labels_schema(16, COLUMNS), [entry], {"generator": "tiny"})
    for seed, name in enumerate(("styleae", "interfacegan")):
        write_editor(name, seed, 0.5)
    parameters["generator"].update(name="tiny", weights="models/tiny/generator")
    parameters["labeler"]["attributes"] = list(COLUMNS)
    parameters["editor"] = {
        "styleae": {"kind": "style_ae"},
        "interfacegan": {"kind": "interfacegan", "binary": ["gender"]},
    }
    parameters["evaluate"]["faces"] = 2
    parameters["publish"]["experiment"] = "tiny"
    Path("params.yaml").write_text(yaml.safe_dump(parameters))
    Path("mlflow").mkdir()
    shutil.copy(migrated, "mlflow/mlflow.db")
    return load_params()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty database of MLflow's schema: making one takes seconds, copying it nothing."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory, migrated):
    """The address of a real MLflow server with artifacts of its own."""
    with mlflow_server(tmp_path_factory.mktemp("server"), migrated) as address:
        yield address
