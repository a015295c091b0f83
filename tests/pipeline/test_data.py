"""Latents and labels on disk: the same bytes for the same rows, and no file read that is not what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import data
from pipeline.errors import PipelineError
from pipeline.rows import row_classes
from pipeline.weights import sha256

W_DIM = 8
ROWS = 60
COLUMNS = ("age", "beard")


def write_folder(folder: Path, rows: int = ROWS, part_rows: int = 25) -> data.Manifest:
    """A small data folder with labels."""
    files, ids = [], np.arange(rows)
    w, attrs = data.row_normals(0, ids, W_DIM), data.row_normals(1, ids, len(COLUMNS))
    for index, i in enumerate(range(0, rows, part_rows)):
        latents = data.latents_table(ids[i : i + part_rows], w[i : i + part_rows])
        labels = data.attach_labels(latents, attrs[i : i + part_rows], COLUMNS)
        files.append(data.write_part(folder, data.part_name(index), labels))
    return data.write_manifest(
        folder, data.labels_schema(W_DIM, COLUMNS), files, {"generator": "a" * 64, "seed": 0}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "labels")
    return tmp_path / "labels"


@settings(deadline=None, derandomize=True, max_examples=30)
@given(seed=st.integers(0, 2**63 - 1), ids=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=5))
def test_a_row_depends_on_its_seed_and_id_alone(seed: int, ids: list[int]) -> None:
    together = data.row_normals(seed, ids, 3)
    alone = np.concatenate([data.row_normals(seed, [i], 3) for i in ids])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("ids", [[0, 1, 2], [2**63 - 1, 5], []])
def test_a_row_is_the_stream_of_philox_under_the_key_of_seed_and_id(ids: list[int]) -> None:
    streams = [np.random.Philox(key=np.array([7, i], dtype=np.uint64)) for i in ids]
    expected = [np.random.Generator(stream).standard_normal(3) for stream in streams]
    found = data.row_normals(7, ids, 3)
    np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32).reshape(-1, 3))


def test_a_class_is_drawn_from_a_stream_of_its_own() -> None:
    streams = [np.random.Philox(key=np.array([7, (1 << 61) + i], dtype=np.uint64)) for i in range(20)]
    expected = [np.random.Generator(stream).integers(5) for stream in streams]
    assert row_classes(7, range(20), 5).tolist() == expected


def test_rows_are_standard_normal_and_independent() -> None:
    normals = data.row_normals(0, range(4000), 8)
    assert abs(normals.mean()) < 0.02
    np.testing.assert_allclose(np.cov(normals.T), np.eye(8), atol=0.08)
    assert abs(np.corrcoef(normals[:-1, 0], normals[1:, 0])[0, 1]) < 0.05
    assert abs(np.corrcoef(normals[:, 0], data.row_normals(1, range(4000), 8)[:, 0])[0, 1]) < 0.05


def test_splits_are_90_5_5_in_every_whole_block() -> None:
    splits = data.split_of(np.arange(20 * 500)).reshape(500, 20)
    for row in splits:
        assert np.bincount(row).tolist() == [18, 1, 1]


def test_a_split_is_a_function_of_the_id_alone() -> None:
    np.testing.assert_array_equal(data.split_of(np.arange(1000))[::7], data.split_of(np.arange(0, 1000, 7)))


def test_test_rows_stand_at_no_fixed_place() -> None:
    places = np.argmax(data.split_of(np.arange(20 * 2000)).reshape(2000, 20) == 2, axis=1)
    assert np.bincount(places, minlength=20).min() > 50


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    first, second = write_folder(tmp_path / "a"), write_folder(tmp_path / "b")
    assert first.digest == second.digest
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_chunked_tables_give_the_bytes_of_whole_ones(tmp_path: Path) -> None:
    table = data.latents_table(np.arange(20), data.row_normals(0, range(20), W_DIM))
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    assert data.write_part(tmp_path, "a", table).sha256 == data.write_part(tmp_path, "b", chunked).sha256


def test_rows_come_back_as_they_were_written(folder: Path) -> None:
    w, attrs = data.to_tensors(data.read_table(folder, ["w", *COLUMNS]), COLUMNS)
    np.testing.assert_array_equal(w.numpy(), data.row_normals(0, range(ROWS), W_DIM))
    np.testing.assert_array_equal(attrs.numpy(), data.row_normals(1, range(ROWS), 2))


def test_splits_partition_the_rows_in_order(folder: Path) -> None:
    ids = {
        split: data.read_table(folder, ["id"], split)["id"].to_pylist() for split in ("train", "val", "test")
    }
    assert [len(ids[split]) for split in ("train", "val", "test")] == [54, 3, 3]
    assert sorted(sum(ids.values(), [])) == list(range(ROWS))
    assert all(rows == sorted(rows) for rows in ids.values())


def test_parts_come_one_by_one_with_the_rows_of_a_split_alone(folder):
    parts = list(data.read_parts(folder, ["id"], "train"))
    assert len(parts) == 3 and all(part.num_rows < 25 for part in parts)
    assert pa.concat_tables(parts).equals(data.read_table(folder, ["id"], "train"))


def test_so_many_rows_of_a_split_are_taken_and_no_part_behind_them_is_read(folder: Path) -> None:
    whole = data.read_table(folder, split="train")
    (folder / data.part_name(2)).unlink()
    assert data.read_table(folder, None, "train", 30).equals(whole.slice(0, 30).combine_chunks())
    with pytest.raises(PipelineError, match="got no file"):
        data.read_table(folder, None, "train")


def test_any_parquet_reader_sees_plain_types(folder: Path) -> None:
    table = pq.read_table(folder / "part-00000.parquet")
    assert table.schema.equals(data.labels_schema(W_DIM, COLUMNS))
    assert set(table["split"].to_pylist()) <= {"train", "val", "test"}


def test_a_manifest_survives_the_disk(folder: Path) -> None:
    manifest = data.read_manifest(folder)
    assert manifest.rows == ROWS
    assert manifest.digest == write_folder(folder.parent / "again").digest


def refused(folder: Path, message: str) -> None:
    with pytest.raises(PipelineError, match=message) as refusal:
        data.read_table(folder)
    assert "\n" not in str(refusal.value)


def test_a_truncated_part_is_named(folder: Path) -> None:
    path = folder / "part-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    refused(folder, r"part-00001\.parquet: the file is truncated or edited")


def test_an_edited_part_is_named(folder: Path) -> None:
    table = pq.read_table(folder / "part-00000.parquet")
    ages = pa.array(np.zeros(table.num_rows, dtype=np.float32))
    pq.write_table(table.set_column(3, "age", ages), folder / "part-00000.parquet")
    refused(folder, r"part-00000\.parquet: the file is truncated or edited")


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / "part-00002.parquet").unlink()
    refused(folder, r"expected 10 rows, got no file, in .*part-00002\.parquet")


def test_a_part_of_another_schema_is_named(folder: Path) -> None:
    table = pq.read_table(folder / "part-00001.parquet").rename_columns(["id", "split", "w", "age", "hat"])
    forge(folder, 1, table)
    refused(folder, r"part-00001\.parquet: the file is of another schema")


def test_a_part_that_is_no_parquet_is_named(folder: Path) -> None:
    (folder / "part-00000.parquet").write_bytes(b"PAR1 and nothing else")
    forge_digest(folder, 0)
    refused(folder, r"expected Parquet, .*part-00000\.parquet")


@pytest.mark.parametrize("column", ["w", "age"])
def test_nan_in_a_part_is_named_with_its_id(folder: Path, column: str) -> None:
    table = pq.read_table(folder / "part-00001.parquet")
    values = np.array(table[column].to_pylist(), dtype=np.float32)
    values[3] = np.nan
    array = pa.array(values.tolist(), type=table.schema.field(column).type)
    forge(
        folder, 1, table.set_column(table.schema.get_field_index(column), table.schema.field(column), array)
    )
    refused(folder, rf"finite numbers for {column}.*first with id 28, in .*part-00001\.parquet")


def test_a_missing_value_is_refused(folder: Path) -> None:
    table = pq.read_table(folder / "part-00000.parquet")
    ages = pa.array([None] * table.num_rows, type=pa.float32())
    forge(folder, 0, table.set_column(3, table.schema.field("age"), ages))
    refused(folder, r"expected values for age, got 25 missing, in .*part-00000\.parquet")


def forge(folder: Path, index: int, table: pa.Table) -> None:
    """Replace a part and let the manifest vouch for it."""
    pq.write_table(table, folder / data.part_name(index))
    forge_digest(folder, index)


def forge_digest(folder: Path, index: int) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][index]["sha256"] = sha256(folder / data.part_name(index))
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_nan_is_never_written() -> None:
    w = data.row_normals(0, range(3), W_DIM)
    w[1, 2] = np.nan
    with pytest.raises(PipelineError, match=r"1 rows, the first with id 11"):
        data.latents_table([10, 11, 12], w)


def test_infinite_scores_are_never_written() -> None:
    latents = data.latents_table([10, 11], data.row_normals(0, range(2), W_DIM))
    with pytest.raises(PipelineError, match="the labels.*first with id 11"):
        data.attach_labels(latents, [[0.0], [np.inf]], ["age"])


@pytest.mark.parametrize("content", ["{", "[]", '{"files": [{"nom": 1}]}', '{"rows": 1}'])
def test_a_damaged_manifest_is_named(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    refused(folder, r"expected a manifest, .*manifest\.json")


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "run `dvc repro` or `dvc checkout`")


def test_an_unknown_column_is_named(folder: Path) -> None:
    with pytest.raises(PipelineError, match=r"expected the columns \['smile'\]"):
        data.read_table(folder, ["w", "smile"])


def test_data_of_another_generator_is_refused(folder: Path) -> None:
    manifest = data.read_manifest(folder)
    data.check_provenance(manifest, {"generator": "a" * 64, "seed": 0}, folder)
    with pytest.raises(
        PipelineError, match=r"expected data made with generator bbbbbbbbbbbb…, got aaaaaaaaaaaa…"
    ):
        data.check_provenance(manifest, {"generator": "b" * 64}, folder)


def test_a_folder_takes_the_place_of_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    data.replace_folder(tmp_path / "new", tmp_path / "old")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["old", "old/new"]
