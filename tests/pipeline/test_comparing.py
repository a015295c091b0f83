"""The comparison's parts on entries made by hand: edits, common sets, failures, tables."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.comparing.edits import SCORES, Edits, read_edits
from pipeline.comparing.failures import KINDS, Failure, count_failures, worst_failures
from pipeline.comparing.standings import (
    Entry,
    common_numbers,
    differences,
    edit_numbers,
    other_numbers,
    overwrite_numbers,
    read_entries,
)
from pipeline.comparing.tables import markdown, report_text, write_csv
from pipeline.config import load_params
from pipeline.errors import PipelineError

NAMES = ("age", "beard")
OFTEN = {"resamples": 50, "seed": 0}
FINE = {
    "success": 1,
    "unreached": 0,
    "identity": 0.95,
    "style_distance": 1,
    "dependency_max": 0.1,
    "rmse": 0.1,
}


def write_edits(path, rows):
    """An ``edits.parquet`` of rows (id, attribute, delta, direction, strength, reached, dependency)."""
    keys = ("id", "attribute", "delta", "direction", "strength", "reached", "dependency")
    table = {key: list(values) for key, values in zip(keys, zip(*rows, strict=True), strict=True)}
    rest = {name: [0.5] * len(rows) for name in SCORES if name not in ("dependency", "unreached")}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table | rest), path)


ROWS = [
    (7, "beard", 1.0, 1.0, 3.0, True, 0.25),
    (7, "beard", 1.0, -1.0, -4.0, False, np.nan),
    (3, "age", 0.5, 1.0, 1.5, True, 0.125),
    (3, "age", 1.0, -1.0, -2.0, True, 0.5),
]


def test_edits_lie_where_they_were_asked(tmp_path):
    write_edits(tmp_path / "edits.parquet", ROWS)
    edits = read_edits(tmp_path / "edits.parquet", NAMES)
    assert (edits.ids.tolist(), edits.deltas) == ([3, 7], (0.5, 1.0))
    up, down = 0, 1
    dependency = edits.at("dependency", 1.0)
    assert dependency[1, up, 1] == 0.25 and dependency[0, down, 0] == 0.5
    assert edits.at("dependency", 0.5)[0, up, 0] == 0.125
    assert np.isfinite(dependency).sum() == 2
    assert edits.strength[1, 1, down, 1] == -4.0
    unreached = edits.at("unreached", 1.0)
    assert unreached[1, down, 1] == 1 and unreached[1, up, 1] == 0
    assert np.isnan(unreached).sum() == 8 - 3  # what was not posed


def test_missing_edits_and_foreign_attributes_are_refused(tmp_path):
    with pytest.raises(PipelineError, match=r"got no file .*edits\.parquet: run `dvc repro`"):
        read_edits(tmp_path / "edits.parquet", NAMES)
    write_edits(tmp_path / "edits.parquet", ROWS)
    with pytest.raises(PipelineError, match=r"expected edits of \['age'\], got \['beard'\] too"):
        read_edits(tmp_path / "edits.parquet", NAMES[:1])


def edits_of(count=4, **scores):
    """Edits of one move, every one of them posed; scores are numbers or arrays ``[N, 2, K]``."""
    values = {name: 0.0 for name in SCORES} | FINE | scores
    arrays = {
        name: np.broadcast_to(value, (count, 2, 2))[:, None].astype(float) for name, value in values.items()
    }
    strength = np.arange(count * 4.0).reshape(count, 1, 2, 2)
    return Edits(np.arange(10, 10 + count), NAMES, (1.0,), arrays, strength)


def entry(name, *edits, metrics=(), tables=()):
    """An editor with a training for each of the edits."""
    folders = tuple(Path("reports") / name for _ in edits)
    return Entry(name, folders, tuple(metrics), tuple(edits), tuple(tables))


def at(*places):
    """``[4, 2, 2]``: 1 at some places."""
    found = np.zeros((4, 2, 2))
    for place in places:
        found[place] = 1
    return found


def test_numbers_are_pooled_over_trainings():
    row = edit_numbers(entry("a", edits_of(rmse=0.1), edits_of(rmse=0.3)), 1.0, **OFTEN)
    assert row["rmse"] == pytest.approx(0.2)
    assert row["rmse_low"] == pytest.approx(0.1) and row["rmse_high"] == pytest.approx(0.3)


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


HERE = (2, 1, 0)  # the third latent, down, the first attribute
WRONG = {
    "target not reached": {"unreached": at(HERE), "success": 1 - at(HERE)},
    "the judge does not see it": {"success": 1 - at(HERE)},
    "another attribute moved": {"dependency_max": 1.5 * at(HERE)},
    "identity lost": {"identity": 0.95 - 0.5 * at(HERE)},
    "off the manifold": {"style_distance": 1 + 2 * at(HERE)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_failure_is_found(kind):
    edits = edits_of(**WRONG[kind])
    found = worst_failures(edits, 1.0, most=6)
    assert found == {k: [Failure(12, 0, -1, edits.strength[2, 0, 1, 0])] if k == kind else [] for k in KINDS}
    counted = [row for row in count_failures(edits, 1.0) if row["count"]]
    assert counted == [{"failure": kind, "attribute": "age", "direction": "-", "count": 1, "edits": 4}]


def test_the_worst_failures_come_first_and_differ():
    lost = np.full((4, 2, 2), 0.95)
    lost[:, 0, 0] = [0.1, 0.2, 0.3, 0.4]
    lost[1, 1, 1] = 0.7
    found = worst_failures(edits_of(identity=lost), 1.0, most=3)["identity lost"]
    assert [(f.id, f.column, f.direction) for f in found] == [(10, 0, 1), (11, 1, -1), (11, 0, 1)]


def test_what_was_not_posed_is_no_failure():
    nothing = edits_of(**{name: np.nan for name in SCORES})
    assert not any(worst_failures(nothing, 1.0, most=3).values())
    assert count_failures(nothing, 1.0) == []


ROW_A = {"editor": "a", "count": 8.0, "success": 0.953, "success_low": 0.946, "success_high": 0.96}
ROW_B = {"editor": "b", "count": 8.0, "success": 0.9, "unreached": 0.1, "train_seconds": 12345.6}
FAILED = [
    {"editor": "a", "failure": "identity lost", "attribute": "age", "direction": "+", "count": 1, "edits": 4},
    {"editor": "a", "failure": "identity lost", "attribute": "age", "direction": "-", "count": 0, "edits": 4},
    {"editor": "b", "failure": "identity lost", "attribute": "age", "direction": "+", "count": 2, "edits": 4},
]


def text_of(rows, apart, **evaluate):
    params = load_params()
    params = replace(params, evaluate=replace(params.evaluate, **evaluate))
    return report_text(rows, apart, FAILED, params, {"date": "today", "machine": "this one"})


def test_the_best_of_a_column_is_bold():
    text = text_of([ROW_A, ROW_B], {"b": {"success": 0.05, "success_low": 0.04, "success_high": 0.06}})
    assert "| a | **0.953 [0.946, 0.96]** |" in text
    assert (
        "| b | 0.9 |" in text and "| b | **12,346 |" not in text
    )  # the only one of its column is not the best
    assert "| a − b | 0.05 [0.04, 0.06] |" in text
    assert "| a | **0.125** |" in text and "| b | 0.5 |" in text  # of failures the fewest
    assert "- date: today\n- machine: this one\n" in text


def test_less_is_better_where_it_is():
    rows = [ROW_A | {"unreached": 0.3}, ROW_B]
    line = next(line for line in text_of(rows, {}).splitlines() if line.startswith("| b | 0.9"))
    assert "**0.1**" in line


def ahead_of(ours, *others):
    """The lines of the table that says where another editor is better."""
    text = text_of([ours, *others], {})
    return (
        text.partition("## Where another editor is better than a\n\n")[2].partition("\n## ")[0].splitlines()
    )


def test_the_report_says_where_another_editor_is_better():
    better = {"editor": "c", "success": 0.97, "success_low": 0.961, "success_high": 0.98, "psnr": 20.0}
    near = {"editor": "d", "success": 0.97, "success_low": 0.96, "success_high": 0.98, "psnr": 21.0}
    assert ahead_of(ROW_A | {"psnr": 19.0}, ROW_B, better, near)[4:] == [
        "| Edits at matched strength: success | 0.953 [0.946, 0.96] | c 0.97 [0.961, 0.98] |",
        "| Edits at matched strength: PSNR | 19 | d 21; c 20 |",
    ]


def test_where_less_is_better_intervals_must_be_apart_the_other_way():
    ours = {"editor": "a", "count": 8.0, "rmse": 0.1, "rmse_low": 0.09, "rmse_high": 0.11}
    theirs = [
        ours | {"editor": n, "rmse": r, "rmse_low": r - 0.01, "rmse_high": r + 0.01}
        for n, r in (("b", 0.07), ("c", 0.09))
    ]
    assert ahead_of(ours, *theirs)[4:] == [
        "| Edits at matched strength: RMSE | 0.1 [0.09, 0.11] | b 0.07 [0.06, 0.08] |"
    ]


def test_an_editor_that_moves_nothing_is_best_at_nothing():
    still = {"editor": "b", "count": 8.0, "unreached": 1.0, "identity": 1.0}
    rows = [ROW_A | {"identity": 0.9}, still, ROW_A | {"editor": "c", "identity": 0.8}]
    line = next(line for line in text_of(rows, {}).splitlines() if line.startswith("| a | **0.953"))
    assert "| **0.9** |" in line
    assert ahead_of(*rows) == ["Nowhere."]


def test_the_report_says_that_nobody_is_better():
    assert ahead_of(ROW_A, ROW_A | {"editor": "b"}) == ["Nowhere."]


def test_a_table_that_nobody_has_numbers_for_is_left_out():
    text = text_of([ROW_A, ROW_B], {})
    assert "## Edits at matched strength" in text and "## Rare combinations" not in text


def test_the_report_shows_the_curves_when_there_are_any():
    assert "curves.png" not in text_of([ROW_A], {}, deltas=(1.0,))
    assert "figures/curves.png" in text_of([ROW_A], {}, deltas=(0.5, 1.0))


def test_numbers_are_short():
    rows = [{"editor": "a", "x": value} for value in (1234567.0, 999.7, 12.3456, 0.00012345, 2e-6, 0.0)]
    cells = [line.split(" | ")[1].removesuffix(" |") for line in markdown(rows, ["x"]).splitlines()[2:]]
    assert cells == ["1,234,567", "1,000", "12.3", "0.000123", "0.000002", "0"]


def test_the_best_of_the_short_table_is_bold_too():
    text = markdown([ROW_A | {"x": 1.0, "unreached": 0.2}, ROW_B | {"x": 2.0}], ["success", "unreached", "x"])
    assert text.splitlines()[2:] == ["| a | **0.953 [0.946, 0.96]** | 0.2 | 1 |", "| b | 0.9 | **0.1** | 2 |"]


def test_a_table_of_numbers_has_every_column_of_every_row(tmp_path):
    write_csv(tmp_path / "table.csv", [ROW_A, ROW_B])
    with open(tmp_path / "table.csv", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == [*ROW_A, "unreached", "train_seconds"]
    assert (first["unreached"], second["success_low"], second["unreached"]) == ("", "", "0.1")
