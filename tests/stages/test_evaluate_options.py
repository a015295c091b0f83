"""Evaluation with what users may add: a perceptual network, which gives LPIPS, and pictures to invert."""

from __future__ import annotations

import json
import shutil
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from pipeline import elsewhere, evaluation, report
from pipeline.__main__ import main
from pipeline.checks import check_networks
from pipeline.config import load_params
from pipeline.data import read_table, to_tensors
from pipeline.editors import EditingData, editor_class, load_editor, save_editor
from pipeline.errors import PipelineError
from pipeline.generators import load_generator
from pipeline.labelers import load_perceptual
from stages import compare, evaluate
from tests.classifiers import AS_IT_IS
from tests.tiny import COLUMNS, fill_labels, make_tiny_project

DOCS = Path(__file__).parents[2] / "docs/own-networks.md"
EDITORS = ("interfacegan", "plain")
SOURCE = {"kind": "torchscript", "file": "downloads/lpips.pt", "image": AS_IT_IS | {"resize": 16}}


def stages_and_weights():
    """Two stages of random convolutions, and a weight of each of their channels."""
    torch.manual_seed(0)
    stages = [
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()),
        nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(5, 7, 3), nn.ReLU()),
    ]
    return stages, [torch.rand(5), torch.rand(7)]


def textbook_lpips(a, b):
    """LPIPS as the paper has it: of pairs, a map of weighted squared differences, its mean, summed."""
    stages, weights = stages_and_weights()
    total = torch.zeros(len(a), dtype=torch.double)
    with torch.no_grad():
        for stage, weight in zip(stages, weights, strict=True):
            a, b = stage(a), stage(b)
            unit_a, unit_b = (x / (x.norm(dim=1, keepdim=True) + 1e-10) for x in (a, b))
            weighted = nn.functional.conv2d((unit_a - unit_b) ** 2, weight[None, :, None, None])
            total += weighted.mean(dim=(1, 2, 3))
    return total.numpy()


def map_here(shards, actor_class, actor_kwargs, resources, on_result):
    """``map_shards`` without Ray."""
    actor = actor_class(**actor_kwargs, device="cpu")
    MAPPED.append(actor_class.__name__)
    results = [actor(shard) for shard in shards]
    for result in results:
        on_result(result)
    return results


MAPPED = []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny project with labels, two editors, three pictures, and the perceptual network of the docs."""
    project = tmp_path_factory.mktemp("options")
    settings = {
        "interfacegan": {"kind": "interfacegan"},
        "plain": {"kind": "interfacegan", "conditional": False},
    }
    make_tiny_project(
        project,
        {
            "editor": settings,
            "labeler.perceptual": "models/lpips",
            "labeler.sources": {"perceptual": SOURCE},
            "evaluate.pictures": "photos",
            "evaluate.inversion_steps": 4,
            "evaluate.overwrite_faces": 2,
        },
    )
    random = np.random.default_rng(0)
    for folder in ("photos", "downloads"):
        (project / folder).mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(project / f"photos/{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        write_perceptual()
        fill_labels()
        params, names = load_params(), list(COLUMNS)
        w, attrs = to_tensors(read_table("data/labels", split="train"), names)
        for name in EDITORS:
            build = editor_class("interfacegan").build
            save_editor(
                build(params.editor[name], EditingData(w, attrs, tuple(names)), None, 0), f"models/{name}"
            )
            Path(f"models/{name}/history.csv").write_text("epoch,seconds\n0,1.5\n")
    return project


def write_perceptual():
    """Run the code of the docs, with a network of this file, for images of 16 pixels."""
    code = DOCS.read_text().split("## LPIPS")[1].split("```python\n")[1].split("```")[0]
    stages, weights = stages_and_weights()
    names = {"torch": torch, "stages": stages, "weights": weights}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated as a whole
        exec(code.replace("64, 64", "16, 16"), names)


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy of it, entered, in which nothing needs Ray and no figure is drawn."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for module in (evaluation, elsewhere):
        monkeypatch.setattr(module, "connect", lambda params: nullcontext())
        monkeypatch.setattr(module, "map_shards", map_here)
    monkeypatch.setattr(report, "_draw", lambda *arguments: None)
    MAPPED.clear()
    return tmp_path


def metrics_of(editor):
    return json.loads(Path(f"reports/{editor}/metrics.json").read_text())


def test_squared_distances_of_the_imported_network_are_lpips(project, capsys):
    assert main(["import-labeler"]) == 0
    assert "features; 16 images are" in capsys.readouterr().out
    check_networks(load_params())
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    features = load_perceptual("models/lpips")(images).double()
    found = (features[:3] - features[3:]).square().sum(dim=1).numpy()
    np.testing.assert_allclose(found, textbook_lpips(images[:3], images[3:]), rtol=1e-5)


def test_lpips_reaches_every_edit_and_the_comparison(project):
    assert main(["import-labeler"]) == 0
    assert [evaluate.main(name) for name in EDITORS] == [0, 0]
    table = pq.read_table("reports/plain/edits.parquet").to_pandas()
    edits = table[table["reached"]]
    assert len(edits) and table.loc[~table["reached"], "lpips"].isna().all()
    generator, editor = load_generator("models/tiny/generator"), load_editor("models/plain")
    rows = read_table("data/labels", split="test")
    styles = dict(zip(rows["id"].to_pylist(), to_tensors(rows)[0], strict=True))
    w = torch.stack([styles[i] for i in edits["id"]])
    edited = [
        editor.edit(style[None], name, strength)
        for style, name, strength in zip(w, edits["attribute"], edits["strength"], strict=True)
    ]
    images = (generator.synthesize(styles).clamp(-1, 1) for styles in (w, torch.cat(edited)))
    np.testing.assert_allclose(edits["lpips"], textbook_lpips(*images), rtol=1e-3, atol=1e-6)
    metrics = metrics_of("plain")
    assert metrics["lpips_low"] <= metrics["lpips"] <= metrics["lpips_high"]
    assert metrics["lpips"] == pytest.approx(edits["lpips"].mean(), abs=1e-6)
    assert metrics["overwrite"]["lpips"] > 0 and metrics["inverted"]["lpips"] > 0
    assert "lpips" in Path("reports/plain/plots/attributes.csv").read_text().splitlines()[0]
    assert compare.main() == 0
    text = Path("comparison/report.md").read_text()
    assert " LPIPS " in text and "## Inverted pictures" in text and "RMSE of inversion" in text


def test_pictures_are_inverted_once_for_all_editors(project):
    assert main(["import-labeler"]) == 0
    assert [evaluate.main(name) for name in EDITORS] == [0, 0]
    assert MAPPED == ["Inverter", "Chunk", "Chunk"]
    inverted = [metrics_of(name)["inverted"] for name in EDITORS]
    assert {"success", "success_low", "unreached", "inversion_rmse_high"} <= inverted[0].keys()
    assert inverted[0]["inversion_rmse"] == inverted[1]["inversion_rmse"] > 0
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save("photos/d.png")
    assert evaluate.main("plain") == 0
    assert MAPPED[-2:] == ["Inverter", "Chunk"]
    assert metrics_of("plain")["inverted"]["inversion_rmse"] != inverted[1]["inversion_rmse"]


def test_without_either_nothing_is_there(project):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["labeler"] |= {"perceptual": None, "sources": {}}
    params["evaluate"]["pictures"] = ""
    Path("params.yaml").write_text(yaml.safe_dump(params))
    assert [evaluate.main(name) for name in EDITORS] == [0, 0]
    assert compare.main() == 0
    assert MAPPED == ["Chunk", "Chunk"]
    texts = [Path("reports/plain/metrics.json").read_text(), Path("comparison/report.md").read_text()]
    texts += [Path("reports/plain/plots/attributes.csv").read_text()]
    assert not [text for text in texts if "lpips" in text.lower() or "invert" in text.lower()]
    assert "lpips" not in pq.read_schema("reports/plain/edits.parquet").names


def test_a_perceptual_network_that_was_not_imported_is_refused(project, capsys):
    assert evaluate.main("plain") == 1
    assert "expected what labeler.sources.perceptual declares, got no network" in capsys.readouterr().err


def test_a_source_without_a_folder_is_refused(project):
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["labeler"]["perceptual"] = None
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(
        PipelineError, match=r"labeler\.perceptual: expected a folder for sources\.perceptual"
    ):
        load_params()


def test_a_network_of_unit_vectors_is_no_perceptual_one():
    with pytest.raises(PipelineError, match="expected a perceptual architecture in .*got 'conv_embedder'"):
        load_perceptual("models/portraits64/identity")
