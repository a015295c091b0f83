"""The pipeline on a generator of the real size: FFHQ's config-f, 1024×1024, untrained.

Run by ``make test ARGS='-m slow'``.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data import read_manifest, read_table
from pipeline.generators import StyleGAN2
from pipeline.weights import save_weights
from tests.tiny import ROOT, STYLEAE, make_tiny_project, run_stage

LATENTS = 64
OVERRIDES = {
    "generator.name": "config-f",
    "labeler.attributes": ["gender", "age"],
    "labeler.weights": "models/portraits64/labeler",
    "labeler.judge": "models/portraits64/judge",
    "labeler.identity": "models/portraits64/identity",
    "sample.count": LATENTS,
    "sample.shard_rows": 16,
    "label.batch_size": 4,
    "label.precision": "bf16",
    "pullback.products": 4,
    "pullback.shard_products": 2,
    "pullback.batch_size": 1,
    "editor": {
        "styleae": {**STYLEAE, "rank": 4, "epochs": 4, "batch_size": 16},
        "interfacegan": {"kind": "interfacegan", "binary": ["gender"]},
    },
    "evaluate.count": 2,
    "evaluate.chunk": 1,
    "evaluate.faces": 1,
    "evaluate.explorer_faces": 1,
    **{
        f"cluster.{stage}": {"actors": 2, "cpus": 1, "gpus": 0} for stage in ("label", "pullback", "evaluate")
    },
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_pipeline_runs_at_1024(tmp_path: Path) -> None:
    make_tiny_project(tmp_path, OVERRIDES)
    shutil.copytree(ROOT / "models/portraits64", tmp_path / "models/portraits64")
    torch.manual_seed(0)
    generator = StyleGAN2(conv_clamp=256.0)
    assert sum(p.numel() for p in generator.parameters()) == 30_370_060
    save_weights(tmp_path / "models/tiny/generator", generator.state_dict(), generator.config())
    del generator

    for stage in ("sample", "pullback", "label", "train styleae", "train interfacegan", "evaluate styleae"):
        started = time.monotonic()
        done = run_stage(tmp_path, *stage.split())
        assert done.returncode == 0, done.stderr
        print(f"{stage}: {time.monotonic() - started:.0f} s", file=sys.__stdout__, flush=True)

    labels = read_table(tmp_path / "data/labels")
    assert (
        labels.num_rows == LATENTS
        and read_manifest(tmp_path / "data/labels").provenance["precision"] == "bf16"
    )
    assert all(np.isfinite(labels[name].to_numpy()).all() for name in ("gender", "age"))
    metrics = json.loads((tmp_path / "reports/styleae/metrics.json").read_text())
    assert metrics["count"] == 2 and np.isfinite(metrics["reconstruction"]["psnr"])
    sheet = Image.open(tmp_path / "reports/styleae/figures/edits.png")
    assert sheet.width > 300 and len(np.unique(np.asarray(sheet))) > 50
    assert re.search(r"evaluate styleae.* in ", done.stdout)
