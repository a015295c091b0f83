"""A published editor over a real MLflow server: loaded, predicted with, downloaded, and served elsewhere."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline.data import row_normals
from pipeline.editors import load_editor
from pipeline.generators import load_generator
from pipeline.mlflow_store import open_store
from pipeline.publishing import check_publishable, publish_editor
from pipeline.tracking import download_editor
from tests.mlflow_server import stop, wait_for
from tests.ports import free_port

MODEL = "models:/styleae@champion"


@pytest.fixture
def published(project, server, monkeypatch):
    """The parameters, after publishing to the server over HTTP."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    publish_editor(project, open_store(project), check_publishable(project, "styleae"))
    return project


def test_a_loaded_model_edits_like_the_editor(published):
    model = mlflow.pyfunc.load_model(MODEL)
    editor, generator = load_editor("models/styleae"), load_generator("models/tiny/generator")
    w = generator.mapping(torch.from_numpy(row_normals(7, [0], generator.z_dim)))
    edited = editor.edit(editor.edit(w, "gender", -1.0), "age", 1.5)

    by_seed = model.predict(pd.DataFrame({"seed": [7], "age": [1.5], "gender": [-1.0]}))
    np.testing.assert_allclose(np.array(by_seed["w"].tolist()), edited.numpy(), atol=1e-5)
    by_style = model.predict(pd.DataFrame({"w": [w[0].tolist()], "age": [1.5], "gender": [-1.0]}))
    np.testing.assert_allclose(np.array(by_style["w"].tolist()), edited.numpy(), atol=1e-5)
    untouched = model.predict(pd.DataFrame({"seed": [7]}))
    np.testing.assert_array_equal(np.array(untouched["w"].tolist(), np.float32), w.numpy())
    assert "image" not in untouched

    pictures = model.predict(pd.DataFrame({"seed": [7, 8]}), params={"return_images": True})["image"]
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0])))
    assert (image.size, image.mode) == ((8, 8), "RGB")

    with pytest.raises(mlflow.MlflowException, match="expected a whole number of 0 or more under 'seed'"):
        model.predict(pd.DataFrame({"seed": [-1]}))


def test_a_downloaded_editor_is_the_one_that_was_published(published):
    folder = download_editor(MODEL)
    for file in ("weights.safetensors", "config.json"):
        assert (folder / file).read_bytes() == Path("models/styleae", file).read_bytes()
    assert load_generator(folder.parent / "generator").img_resolution == 8


def test_the_model_serves_over_http_where_there_is_no_checkout(published, tmp_path):
    port, elsewhere = free_port(), tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", MODEL, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # MLflow starts `uvicorn` by name: it has to be the one of this environment.
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=elsewhere, env=environment, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", process, tmp_path / "log")
        body = {"dataframe_records": [{"seed": 7, "age": 1}], "params": {"return_images": True}}
        [answer] = post(f"http://127.0.0.1:{port}/invocations", body)["predictions"]
        assert len(answer["w"]) == 16
        assert base64.b64decode(answer["image"]).startswith(b"\x89PNG")
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(f"http://127.0.0.1:{port}/invocations", {"dataframe_records": [{"age": 1.0}]})
        with refused.value as reply:
            assert reply.code == 400
            assert "expected a whole number of 0 or more under 'seed'" in reply.read().decode()
    finally:
        stop(process)


def post(url: str, body: dict) -> dict:
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60
    ) as reply:
        return json.load(reply)
