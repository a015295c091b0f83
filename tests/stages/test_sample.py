"""The sample stage: rows that depend on nothing but seed and number, outputs whole or untouched."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from pipeline import data, weights
from pipeline.config import GeneratorParams, SampleParams
from pipeline.errors import PipelineError
from pipeline.generators.stylegan2 import StyleGAN2
from pipeline.sampling import draw_styles, sample_latents, style_vectors
from pipeline.sealed import SealedParts
from pipeline.storage import Storage
from pipeline.weights import save_weights, weights_digest
from stages import sample
from tests.fakes import FakeGenerator

ROOT = Path(__file__).parents[2]
ORIGIN = GeneratorParams(name="tiny", weights="models/tiny")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with parameters and a tiny generator, entered."""
    torch.manual_seed(0)
    generator = StyleGAN2(z_dim=6, w_dim=16, num_layers=2, img_resolution=8, channel_max=4)
    save_weights(tmp_path / "models/portraits64/generator", generator.state_dict(), generator.config())
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    change(tmp_path, count=70, shard_rows=30)
    return tmp_path


def change(project: Path, section: str = "sample", **values: Any) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params[section] |= values
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_stage_writes_every_row_in_parts_under_a_manifest(project: Path) -> None:
    assert sample.main() == 0
    manifest = data.read_manifest("data/latents")
    assert [(file.name, file.rows) for file in manifest.files] == [
        ("part-00000.parquet", 30),
        ("part-00001.parquet", 30),
        ("part-00002.parquet", 10),
    ]
    assert manifest.provenance == {
        "generator": weights_digest("models/portraits64/generator"),
        "seed": 0,
        "truncation_psi": 1.0,
        "class_label": None,
    }
    assert data.read_table("data/latents")["id"].to_pylist() == list(range(70))


def test_the_same_parameters_give_the_same_bytes(project: Path) -> None:
    sample.main()
    first = contents(project / "data/latents")
    sample.main()
    assert contents(project / "data/latents") == first


def test_the_number_of_cores_changes_no_byte(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(project, count=300, shard_rows=10)
    made = []
    for cores in (1, 8):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        sample.main()
        made.append(contents(project / "data/latents"))
    assert made[0] == made[1] and len(made[0]) == 31


def test_a_run_that_was_killed_is_gone_on_with(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, count=150)
    sample.main()
    first = contents(project / "data/latents")
    shutil.rmtree(project / "data/latents")
    made: list[str] = []
    write = SealedParts.write

    def write_three(self: SealedParts, name: str, table: pa.Table) -> data.FileEntry:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(name)
        return write(self, name, table)

    monkeypatch.setattr(SealedParts, "write", write_three)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert sample.main() == 130
    assert not (project / "data/latents").exists()
    before = [*made]
    monkeypatch.setattr(SealedParts, "write", lambda *given: made.append(given[1]) or write(*given))
    assert sample.main() == 0
    assert contents(project / "data/latents") == first
    assert sorted(made) == sorted({*made}) and len(before) == 3 < len(made)
    assert not list((project / ".work/sample").iterdir())


def test_another_seed_gives_other_rows(project: Path) -> None:
    sample.main()
    first = contents(project / "data/latents")
    change(project, seed=1)
    sample.main()
    assert contents(project / "data/latents")["part-00000.parquet"] != first["part-00000.parquet"]


@pytest.mark.parametrize(("first", "stop"), [(0, 5), (100, 300), (127, 129), (250, 300)])
def test_a_row_depends_on_nothing_around_it(first: int, stop: int) -> None:
    generator = StyleGAN2(z_dim=6, w_dim=16, num_layers=2, img_resolution=8, channel_max=4)
    whole = style_vectors(generator, 3, 0, 300, 0.7)
    np.testing.assert_array_equal(style_vectors(generator, 3, first, stop, 0.7), whole[first:stop])


def test_rows_are_the_mapping_of_normals() -> None:
    generator = FakeGenerator()
    z = torch.from_numpy(data.row_normals(5, range(40), generator.z_dim))
    expected = generator.mapping(z, 0.5)
    np.testing.assert_allclose(style_vectors(generator, 5, 0, 40, 0.5), expected, atol=1e-6)


def conditional() -> StyleGAN2:
    torch.manual_seed(0)
    return StyleGAN2(z_dim=6, c_dim=3, w_dim=16, num_layers=2, img_resolution=8, channel_max=4)


def test_a_class_is_drawn_for_each_row_by_its_number_alone() -> None:
    generator = conditional()
    whole = style_vectors(generator, 3, 0, 300, 1.0)
    np.testing.assert_array_equal(style_vectors(generator, 3, 127, 200, 1.0), whole[127:200])
    by_class = np.stack([style_vectors(generator, 3, 0, 300, 1.0, k) for k in range(3)])
    drawn = np.abs(by_class - whole).max(axis=2).argmin(axis=0)
    np.testing.assert_array_equal(by_class[drawn, np.arange(300)], whole)
    assert (np.bincount(drawn) > 70).all()  # of 100


def test_one_class_for_all_rows(project: Path) -> None:
    generator = conditional()
    save_weights(project / "models/portraits64/generator", generator.state_dict(), generator.config())
    change(project, "generator", class_label=2)
    assert sample.main() == 0
    found, _ = data.to_tensors(data.read_table("data/latents"))
    np.testing.assert_array_equal(found.numpy(), style_vectors(generator, 0, 0, 70, 1.0, 2))


@pytest.mark.parametrize(
    ("classes", "asked", "hint"), [(3, 3, "below 3, got 3"), (0, 0, "no classes, use null")]
)
def test_a_class_that_is_not_there_is_refused(classes: int, asked: int, hint: str) -> None:
    generator = conditional() if classes else FakeGenerator()
    with pytest.raises(PipelineError, match=f"{hint}.*generator.class_label|generator.class_label.*{hint}"):
        draw_styles(generator, 0, [0], 1.0, asked)


def test_a_full_disk_is_one_line_and_leaves_the_old_latents(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample.main()
    before = contents(project / "data/latents")
    capsys.readouterr()
    change(project, seed=1)
    replace = os.replace
    calls = iter(range(10))

    def fail_late(source: Any, target: Any) -> None:
        if next(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(weights.os, "replace", fail_late)
    assert sample.main() == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no space left on the device")
    assert error.count("\n") == 1
    assert contents(project / "data/latents") == before
    assert [path.name for path in (project / "data").iterdir()] == ["latents"]


def test_styles_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    generator = FakeGenerator()
    generator.map[0, 0] = float("nan")
    with pytest.raises(PipelineError, match="got NaN"):
        work = Storage(tmp_path / "work")
        sample_latents(generator, SampleParams(count=20), ORIGIN, {}, work, tmp_path / "latents")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_generator_is_one_line_before_any_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(project, "generator", weights="models/none")
    assert sample.main() == 1
    assert "in models/none, got no config.json" in capsys.readouterr().err
    assert not (project / "data").exists()
