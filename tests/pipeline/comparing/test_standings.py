"""The numbers of editors beside each other: pooled, on common edits, over trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.comparing.standings import (
    Entry,
    common_numbers,
    differences,
    edit_numbers,
    other_numbers,
    overwrite_numbers,
    read_entries,
    training_numbers,
)
from pipeline.errors import PipelineError
from tests.compared import NAMES, ROWS, at, edits_of, write_edits

OFTEN = {"resamples": 50, "seed": 0}


def entry(name, *edits, metrics=(), tables=()):
    """An editor with a training for each of the edits."""
    folders = tuple(Path("reports") / f"{name}@{seed}" for seed, _ in enumerate(edits))
    return Entry(name, folders, tuple(metrics), tuple(edits), tuple(tables))


def test_numbers_are_pooled_over_trainings():
    row = edit_numbers(entry("a", edits_of(rmse=0.1), edits_of(rmse=0.3)), 1.0, **OFTEN)
    assert row["rmse"] == pytest.approx(0.2)
    assert row["rmse_low"] == pytest.approx(0.1) and row["rmse_high"] == pytest.approx(0.3)


def test_several_trainings_have_a_row_each():
    entries = [entry("a", edits_of(rmse=0.1), edits_of(rmse=0.3)), entry("b", edits_of(rmse=0.5))]
    rows = training_numbers(entries, 1.0, **OFTEN)
    assert [(row["editor"], row["rmse"]) for row in rows] == [("a@0", 0.1), ("a@1", 0.3)]


def test_numbers_of_a_part_are_of_its_edits():
    rmse = np.full((4, 2, 2), 0.1)
    rmse[0] = 0.5
    one = entry("a", edits_of(rmse=rmse))
    assert edit_numbers(one, 1.0, **OFTEN, only=at(0) == 1)["rmse"] == 0.5
    assert edit_numbers(one, 1.0, **OFTEN, only=at() == 1) == {}


def test_the_common_edits_are_those_that_every_able_editor_reached():
    far = np.where(at((0, 0, 0)) == 1, 0.9, 0.1)  # the hard edit, which the second editor has left out
    ours = entry("ours", edits_of(rmse=far))
    theirs = entry("theirs", edits_of(rmse=0.2, unreached=at((0, 0, 0))))
    hopeless = entry("hopeless", edits_of(unreached=1 - at((3, 1, 1))))
    rows = common_numbers([ours, theirs, hopeless], 1.0, **OFTEN)
    assert [row.get("edits") for row in rows] == [15, 15, None]
    assert rows[0]["rmse"] == pytest.approx(0.1) and rows[1]["rmse"] == pytest.approx(0.2)
    assert rows[2] == {} and "success" not in rows[0]


def test_every_training_has_a_say_in_the_common_edits():
    both = entry("both", edits_of(unreached=at((0, 0, 0))), edits_of(unreached=at((1, 1, 1))))
    assert common_numbers([both, entry("one", edits_of())], 1.0, **OFTEN)[1]["edits"] == 14


def test_where_nobody_is_able_there_is_nothing_in_common():
    assert common_numbers([entry("a", edits_of(unreached=1))], 1.0, **OFTEN) == [{}]


def test_differences_are_ours_minus_theirs():
    ours, theirs = entry("ours", edits_of(rmse=0.1)), entry("theirs", edits_of(rmse=0.4))
    found = differences(ours, [ours, theirs], 1.0, **OFTEN)
    assert list(found) == ["theirs"]
    assert found["theirs"]["rmse"] == found["theirs"]["rmse_low"] == pytest.approx(-0.3)


def set_table(success, rmse=0.1):
    """Two latents, two attributes."""
    rest = {name: np.full(4, 0.5) for name in ("psnr", "ssim", "identity")}
    error = np.where(success, 0.2, 1.0)
    return pa.table(
        {"success": np.array(success, bool), "error": error, "rmse": np.broadcast_to(rmse, 4), **rest}
    )


def test_overwritten_attributes_are_compared_where_all_succeed():
    ours = entry("ours", edits_of(), tables=[set_table([1, 1, 1, 0], [0.1, 0.2, 0.9, 0.9])])
    theirs = entry("theirs", edits_of(), tables=[set_table([1, 1, 0, 1], 0.3)])
    useless = entry("useless", edits_of(), tables=[set_table([0, 0, 0, 0])])
    rows = overwrite_numbers([ours, theirs, useless], **OFTEN)
    assert [row["success"] for row in rows] == [0.75, 0.75, 0.0]
    assert [row["error"] for row in rows] == pytest.approx([0.4, 0.4, 1.0])
    assert [row["edits"] for row in rows] == [2, 2, 2]
    assert rows[0]["mse"] == pytest.approx((0.01 + 0.04) / 2) and rows[1]["mse"] == pytest.approx(0.09)
    assert "mse" not in rows[2]


def test_nothing_is_said_of_overwriting_when_it_was_not_tried():
    rows = overwrite_numbers(
        [entry("a", edits_of(), tables=[set_table([1] * 4)]), entry("b", edits_of())], **OFTEN
    )
    assert rows == [{}, {}]


def folder_of(path, rows=ROWS):
    """A report that can be read."""
    write_edits(path / "edits.parquet", rows)
    (path / "metrics.json").write_text('{"success": 0.5, "editor": "a", "code": {"mig": 0.25}}')
    pq.write_table(pa.table({}), path / "overwritten.parquet")
    return path


def test_reports_are_read_flat(tmp_path):
    folders = [folder_of(tmp_path / name) for name in ("a@0", "a@1")]
    [found] = read_entries({"a": folders}, NAMES)
    assert found.metrics[0] == {"success": 0.5, "code/mig": 0.25}
    assert (len(found.edits), found.overwritten) == (2, ())


def test_other_numbers_are_means_over_trainings():
    metrics = {"code/mig": 0.2, "edit_ms_1": 1.0, "attributes/age/psnr": 9.0}, {"code/mig": 0.3}
    row = other_numbers(entry("a", edits_of(), edits_of(), metrics=metrics))
    assert row == {"code/mig": 0.25, "edit_ms_1": 1.0}


def test_the_intervals_of_other_numbers_hold_the_spread_of_the_trainings():
    one = {"x": 3.0, "x_low": 2.0, "x_high": 5.0}
    assert other_numbers(entry("a", edits_of(), metrics=[one])) == one
    assert other_numbers(entry("a", edits_of(), edits_of(), metrics=[one, one])) == one
    apart = [{name: value + shift for name, value in one.items()} for shift in (-1.0, 1.0)]
    row = other_numbers(entry("a", edits_of(), edits_of(), metrics=apart))
    spread = 1.96 / 2**0.5  # of a mean of two values that are 1 from it
    assert row["x"] == 3.0
    assert row["x_low"] == pytest.approx(3 - (1 + spread**2) ** 0.5, abs=1e-6)
    assert row["x_high"] == pytest.approx(3 + (4 + spread**2) ** 0.5, abs=1e-6)


@pytest.mark.parametrize("change", [{0: 8}, {2: 2.0}])
def test_an_editor_that_was_evaluated_on_others_is_refused(tmp_path, change):
    other = [tuple(change.get(i, value) for i, value in enumerate(row)) for row in ROWS]
    reports = {"a": [folder_of(tmp_path / "a")], "b": [folder_of(tmp_path / "b", other)]}
    with pytest.raises(PipelineError, match=r"the latents and moves of .*/a, got others, in .*/b: run"):
        read_entries(reports, NAMES)


@pytest.mark.parametrize("text", [None, "{"])
def test_a_report_that_cannot_be_read_is_named(tmp_path, text):
    folder = folder_of(tmp_path / "a")
    (folder / "metrics.json").unlink() if text is None else (folder / "metrics.json").write_text(text)
    with pytest.raises(PipelineError, match=r"the metrics of a, got .*/a/metrics\.json: run `dvc repro`"):
        read_entries({"a": [folder]}, NAMES)
