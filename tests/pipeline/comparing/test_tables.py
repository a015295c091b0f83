"""The report's tables: what is bold, what is left out, where another editor is better."""

from __future__ import annotations

import csv
from dataclasses import replace

from pipeline.comparing.tables import markdown, report_text, write_csv
from pipeline.config import load_params

ROW_A = {"editor": "a", "count": 8.0, "success": 0.953, "success_low": 0.946, "success_high": 0.96}
ROW_B = {"editor": "b", "count": 8.0, "success": 0.9, "unreached": 0.1, "train_seconds": 12345.6}
KIND = {"failure": "identity lost", "attribute": "age", "edits": 4, "rare": 0, "rare_edits": 0}
FAILED = [
    KIND | {"editor": "a", "direction": "+", "count": 1},
    KIND | {"editor": "a", "direction": "-", "count": 0},
    KIND | {"editor": "b", "direction": "+", "count": 2},
]


def text_of(rows, apart, trainings=(), **evaluate):
    params = load_params()
    params = replace(params, evaluate=replace(params.evaluate, **evaluate))
    return report_text(rows, trainings, apart, FAILED, params, {"date": "today", "machine": "this one"})


def test_the_best_of_a_column_is_bold():
    text = text_of([ROW_A, ROW_B], {"b": {"success": 0.05, "success_low": 0.04, "success_high": 0.06}})
    assert "| a | **0.953 [0.946, 0.96]** |" in text
    assert (
        "| b | 0.9 |" in text and "| b | **12,346 |" not in text
    )  # the only one of its column is not the best
    assert "| a − b | 0.05 [0.04, 0.06] |" in text
    assert "| a | **0.125** |" in text and "| b | 0.5 |" in text  # of failures the fewest
    assert "- date: today\n- machine: this one\n" in text


def test_failures_of_rare_combinations_stand_by_themselves(monkeypatch):
    assert "Of rare combinations alone" not in text_of([ROW_A, ROW_B], {})
    for row, rare in zip(FAILED, (1, 0, 2), strict=True):
        monkeypatch.setitem(row, "rare", rare)
        monkeypatch.setitem(row, "rare_edits", 2)
    _, _, rare = text_of([ROW_A, ROW_B], {}).partition("Of rare combinations alone:")
    assert "| a | **0.25** |" in rare and "| b | 1 |" in rare


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


def test_the_best_distance_of_w_is_the_nearest_to_that_of_a_training_style():
    rows = [
        {
            "editor": n,
            "count": 8.0,
            "style_distance": d,
            "style_distance_low": d - 0.01,
            "style_distance_high": d + 0.01,
        }
        for n, d in (("a", 0.95), ("b", 1.02), ("c", 1.03), ("d", 0.9))
    ]
    assert "| b | **1.02 [1.01, 1.03]** |" in text_of(rows, {})
    assert ahead_of(*rows)[4:] == [
        "| Edits at matched strength: distance of w | 0.95 [0.94, 0.96] | b 1.02 [1.01, 1.03] |"
    ]
    around = rows[1] | {"style_distance": 0.99, "style_distance_low": 0.9, "style_distance_high": 1.2}
    assert ahead_of(rows[0], around) == ["Nowhere."]  # the interval goes further from 1 than ours


def test_a_table_says_how_many_edits_it_is_of():
    rows = [row | {"edits": 10165.0, "rare/edits": 1963, "rare/success": 0.9} for row in (ROW_A, ROW_B)]
    text = text_of(rows, {})
    assert "those that do. 10,165 edits.\n" in text and "training rows. 1,963 edits.\n" in text
    assert " edits.\n" not in text_of([ROW_A, ROW_B], {})


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


def test_each_training_stands_there_by_itself_where_there_are_several():
    trainings = [ROW_A | {"editor": f"a@{seed}"} for seed in (0, 1)]
    text = text_of([ROW_A], {}, trainings)
    assert all(f"| a@{seed} | 0.953 [0.946, 0.96] |" in text for seed in (0, 1))
    assert "Each training" not in text_of([ROW_A], {})


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
