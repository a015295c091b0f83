"""The compare stage on a tiny project whose editors went through all of the protocol."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import report
from pipeline.attributes import same_attribute
from pipeline.data import read_table, to_tensors
from pipeline.metrics.rarity import rare_requests
from stages import compare, evaluate
from tests.evaluated import EDITORS, FULL, change_params, make_trained_project, without_ray
from tests.tiny import COLUMNS

FIRSTS = [f"{name}@0" for name in EDITORS]
MEMBERS = [*FIRSTS, "plain@1"]  # interfacegan is a closed form, which has one training alone


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny project with the reports of two editors, of the second after two trainings that ended alike."""
    project = tmp_path_factory.mktemp("compare")
    asked = FULL | {"slider_faces": 0, "code": False, "timings": False, "count": 6, "chunk": 6}
    make_trained_project(project, FIRSTS, count=160, evaluate=asked, compare={"seeds": [0, 1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        without_ray(patch)
        patch.setattr(report, "_draw", lambda *arguments: None)
        assert [evaluate.main(name) for name in FIRSTS] == [0, 0]
        shutil.copytree("reports/plain@0", "reports/plain@1")
        change_params(editor={"plain": {"kind": "plugen"}})  # what a seed is for
    return project


@pytest.fixture(scope="module")
def compared(made):
    """The folder of the comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made)
        assert compare.main() == 0
    return made / "comparison"


@pytest.fixture
def project(made, compared, tmp_path, monkeypatch):
    """A copy with its comparison, entered."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(path):
    """Rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


def metrics_of(compared, member):
    """The ``metrics.json`` of one training."""
    return json.loads((compared.parent / "reports" / member / "metrics.json").read_text())


def test_the_comparison_is_complete(compared):
    found = {path.relative_to(compared).as_posix() for path in compared.rglob("*") if path.is_file()}
    tables = {"table.csv", "table.md", "metrics.json", "differences.json", "failures.csv", "curves.csv"}
    pictures = {f"figures/{name}.png" for name in ("bars", "curves", "success", "edits", "cost")}
    galleries = {f"figures/failures/{name}.png" for name in EDITORS}
    assert found == {"report.md", "explorer.html"} | tables | pictures | galleries
    for path in compared.rglob("*.png"):
        Image.open(path).verify()


def test_every_editor_is_one_row(compared):
    table = rows_of(compared / "table.csv")
    assert [row["editor"] for row in table] == list(EDITORS)
    expected = metrics_of(compared, "plain@0")
    plain = table[1]
    for name in ("success", "rmse", "unreached", "psnr"):
        assert float(plain[name]) == pytest.approx(expected[name], abs=1e-6)
    assert (
        float(plain["train_seconds"]) == 1.5
        and float(plain["outside/success"]) == expected["outside"]["success"]
    )
    assert float(plain["success_low"]) <= float(plain["success"]) <= float(plain["success_high"])
    by_editor = json.loads((compared / "metrics.json").read_text())
    assert by_editor["plain"]["success"] == float(plain["success"])


def test_the_same_edits_of_all_editors_are_compared(compared):
    table = rows_of(compared / "table.csv")
    reached = []
    for member in MEMBERS:
        edits = pq.read_table(compared.parent / "reports" / member / "edits.parquet").to_pandas()
        edits = edits[edits["delta"] == 1.0]
        if 1 - edits["reached"].mean() <= 0.5:
            reached.append(
                set(map(tuple, edits.loc[edits["reached"], ["id", "attribute", "direction"]].values))
            )
    assert float(table[1]["common/edits"]) == len(set.intersection(*reached)) > 0


def test_rare_edits_are_those_of_the_posed_ones_that_ask_for_a_rare_combination(compared):
    labels = compared.parent / "data/labels"
    train = to_tensors(read_table(labels, split="train"), COLUMNS)[1].double().numpy()
    test = read_table(labels, split="test").slice(0, 6)
    rare = rare_requests(
        to_tensors(test, COLUMNS)[1].double().numpy(), train, train.std(axis=0), same_attribute(COLUMNS)
    )
    edits = pq.read_table(compared.parent / "reports" / MEMBERS[0] / "edits.parquet").to_pandas()
    edits = edits[edits["delta"] == 1.0]
    place = {face: n for n, face in enumerate(test["id"].to_pylist())}
    asked = [
        rare[place[row.id], int(row.direction < 0), COLUMNS.index(row.attribute)]
        for row in edits.itertuples()
    ]
    assert sum(asked) > 0
    row = rows_of(compared / "table.csv")[0]
    assert float(row["rare/edits"]) == sum(asked)
    assert float(row["rare/success"]) == pytest.approx(edits["success"][asked].mean(), abs=1e-6)


def test_overwritten_attributes_are_compared_where_all_succeed(compared):
    tables = [
        pq.read_table(compared.parent / "reports" / m / "overwritten.parquet").to_pandas() for m in MEMBERS
    ]
    both = np.logical_and.reduce([table["success"].to_numpy() for table in tables])
    for row, table in zip(rows_of(compared / "table.csv"), tables[:2], strict=True):
        assert float(row["overwrite/edits"]) == both.sum() > 0
        assert float(row["overwrite/mse"]) == pytest.approx((table["rmse"][both] ** 2).mean(), abs=1e-6)


def test_differences_are_of_the_first_editor_from_each_other(compared):
    found = json.loads((compared / "differences.json").read_text())
    assert list(found) == ["plain"]
    ours, theirs = (metrics_of(compared, member) for member in ("interfacegan@0", "plain@0"))
    assert found["plain"]["success"] == pytest.approx(ours["success"] - theirs["success"], abs=2e-6)


def test_curves_have_a_row_for_each_move(compared):
    rows = rows_of(compared / "curves.csv")
    assert [(row["editor"], row["delta"]) for row in rows] == [
        (e, d) for e in EDITORS for d in ("0.25", "1.0")
    ]
    assert float(rows[3]["success"]) == pytest.approx(metrics_of(compared, "plain@0")["success"], abs=1e-6)


def test_failures_are_counted(compared):
    rows = [row for row in rows_of(compared / "failures.csv") if row["editor"] == "plain"]
    metrics = metrics_of(compared, "plain@0")
    unreached = [row for row in rows if row["failure"] == "target not reached"]
    assert sum(int(row["edits"]) for row in unreached) == metrics["edits"]
    assert sum(int(row["count"]) for row in unreached) == round(metrics["unreached"] * metrics["edits"])


def test_the_report_links_what_is_there(compared):
    text = (compared / "report.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all((compared / link).is_file() for link in links), links
    assert "training seeds 0, 1" in text and "on 6 test latents" in text
    assert "| plain@1 |" in text and "| interfacegan@0 |" not in text
    assert "- machine: " in text and "| interfacegan − plain |" in text
    assert not re.search(r"\bnan\b", text)


def test_the_report_says_how_long_it_took(project):
    for member in MEMBERS:
        path = Path("reports") / member / "metrics.json"
        found = json.loads(path.read_text()) | {"train_seconds": 60.0, "evaluate_seconds": 93.0}
        path.write_text(json.dumps(found))
    assert compare.main() == 0
    text = Path("comparison/report.md").read_text()
    assert "- time: 3 trainings, 3.0 min, and their evaluations, 4.7 min; " in text


def test_the_explorer_shows_the_editors_side_by_side(compared):
    page = (compared / "explorer.html").read_text()
    data = json.loads(re.search(r"const DATA = (.*);\n", page).group(1))
    assert [editor["name"] for editor in data["editors"]] == list(EDITORS)


def test_columns_of_the_short_table_can_be_chosen(project):
    change_params(compare={"columns": ["outside/success", "ssim"]})
    assert compare.main() == 0
    assert Path("comparison/table.md").read_text().startswith("| editor | outside/success | ssim |\n")


def test_a_column_that_nobody_has_is_refused(project, capsys):
    change_params(compare={"columns": ["sucess"]})
    assert compare.main() == 1
    assert "did you mean 'success'?" in capsys.readouterr().err


def test_a_missing_report_is_named_and_the_comparison_stays(project, capsys):
    Path("comparison/report.md").write_text("old")
    change_params(compare={"seeds": [0, 2]})
    assert compare.main() == 1
    assert "reports/plain@2/metrics.json" in capsys.readouterr().err
    assert Path("comparison/report.md").read_text() == "old"


def test_edits_to_one_side_alone_are_compared(project):
    for member in MEMBERS:
        path = Path("reports") / member / "edits.parquet"
        table = pq.read_table(path).to_pandas()
        table[table["direction"] > 0].to_parquet(path)
    before = rows_of(Path("comparison/table.csv"))[0]
    assert compare.main() == 0
    after = rows_of(Path("comparison/table.csv"))[0]
    assert 0 < float(after["rare/edits"]) < float(before["rare/edits"])


def test_one_training_each_needs_no_seeds(project):
    for name in EDITORS:
        shutil.move(f"reports/{name}@0", f"reports/{name}")
        shutil.copytree(f"models/{name}@0", f"models/{name}")
    change_params(compare={"seeds": []})
    assert compare.main() == 0
    assert "training seeds 0." in Path("comparison/report.md").read_text()


def test_an_editor_that_reaches_nothing_is_compared_all_the_same(project):
    for member in MEMBERS[1:]:
        path = Path("reports") / member / "edits.parquet"
        table = pq.read_table(path).to_pandas()
        table["reached"] = False
        lost = [
            name for name in table if name in ("dependency", "dependency_max", "identity", "rmse", "psnr")
        ]
        table[[*lost, "ssim", "style_distance"]] = np.nan
        table.to_parquet(path)
    assert compare.main() == 0
    table = rows_of(Path("comparison/table.csv"))
    assert float(table[1]["unreached"]) == 1 and table[1]["common/rmse"] == ""
