"""The user study: what is compared, what the page shows and what it does not say."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections import Counter
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.__main__ import main
from pipeline.errors import PipelineError
from pipeline.study import QUESTIONS, draw_comparisons, read_edits, write_study
from pipeline.study_report import read_key

EDITORS = ["interfacegan", "plugen", "styleae"]
ATTRIBUTES = ["age", "smile", "beard"]
FACES = 4


def write_report(folder: Path, editor: str, **changes: np.ndarray) -> None:
    """Pictures of noise, each of its own; the originals are the same for every editor."""
    shared, own = np.random.default_rng(0), np.random.default_rng(list(editor.encode()))
    arrays = {
        "original": shared.integers(0, 256, (FACES, 8, 8, 3), np.uint8),
        "edited": own.integers(0, 256, (FACES, 3, 8, 8, 3), np.uint8),
        "direction": shared.choice([-1.0, 1.0], (FACES, 3)),
        "attributes": np.array(ATTRIBUTES),
    }
    (folder / editor).mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / editor / "faces.npz", **{**arrays, **changes})


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reports of three editors in a project's folder; entered."""
    monkeypatch.chdir(tmp_path)
    for editor in EDITORS:
        write_report(tmp_path / "reports", editor)
    (tmp_path / "reports/nothing").mkdir()
    return Path("reports")


def names_of(comparison):
    return comparison.left.editor, comparison.right.editor


def test_every_editor_with_pictures_is_compared(reports):
    assert [edits.editor for edits in read_edits(reports)] == EDITORS
    assert [edits.editor for edits in read_edits(reports, ["styleae", "plugen"])] == ["styleae", "plugen"]


def test_pairs_of_editors_and_sides_come_equally_often(reports):
    drawn = draw_comparisons(read_edits(reports), 18, seed=0)
    assert Counter(map(names_of, drawn)) == dict.fromkeys(permutations(EDITORS, 2), 3)


def test_nothing_is_asked_twice(reports):
    drawn = draw_comparisons(read_edits(reports), 1000, seed=0)
    asked = {(c.face, c.column, frozenset(names_of(c))) for c in drawn}
    assert len(asked) == len(drawn) == 3 * FACES * len(ATTRIBUTES)


def test_a_seed_fixes_the_comparisons(reports):
    edits = read_edits(reports)

    def drawn(seed):
        return [(c.face, c.column, names_of(c)) for c in draw_comparisons(edits, 12, seed)]

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize("how", ["black", "the original", "the other edit"])
def test_an_edit_that_shows_nothing_is_left_out(reports, how):
    first, second = read_edits(reports, ["styleae", "plugen"])
    picture = {"black": 0, "the original": first.original[2], "the other edit": second.edited[2, 1]}[how]
    first.edited[2, 1] = picture
    drawn = draw_comparisons([first, second], 1000, seed=0)
    assert {(c.face, c.column) for c in drawn} == set(product(range(FACES), range(3))) - {(2, 1)}


def test_faces_limits_the_faces(reports):
    drawn = draw_comparisons(read_edits(reports, faces=2), 1000, seed=0)
    assert {c.face for c in drawn} == {0, 1}


def written(reports, out="study", count=12):
    """A study, as the page's data and the key."""
    write_study(Path(out), draw_comparisons(read_edits(reports), count, seed=3), seed=3)
    page = Path(out, "index.html").read_text()
    return page, json.loads(re.search(r"const DATA = (.*);\n", page).group(1)), read_key(Path(out))


def pixels(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_the_page_needs_nothing_from_elsewhere_and_names_no_editor(reports):
    page, _, _ = written(reports)
    assert not re.search(r"https?://|@import|fetch\(", page)
    assert "default-src 'none'" in page
    assert not re.search("|".join(EDITORS), page, re.IGNORECASE)


def test_the_key_says_whose_pictures_the_page_shows(reports):
    _, data, key = written(reports)
    assert data["study"] == key["study"]
    assert [c["code"] for c in data["comparisons"]] == list(key["comparisons"])
    for shown in data["comparisons"]:
        known = key["comparisons"][shown["code"]]
        column = ATTRIBUTES.index(known["attribute"])
        for side in ("left", "right"):
            file = np.load(reports / known[side] / "faces.npz")
            np.testing.assert_array_equal(pixels(shown[side]), file["edited"][known["face"], column])
        np.testing.assert_array_equal(
            pixels(data["originals"][str(shown["face"])]), file["original"][known["face"]]
        )
        assert shown["attribute"] == known["attribute"]
        assert shown["up"] == (file["direction"][known["face"], column] > 0) == (known["direction"] == 1)


def test_the_same_study_is_the_same_bytes(reports):
    first, again = written(reports)[0], written(reports)[0]
    assert first == again


def test_the_key_of_another_study_is_not_overwritten(reports):
    _, _, key = written(reports)
    with pytest.raises(PipelineError, match=r"got the key of another one, in study/key\.json"):
        written(reports, count=11)
    assert read_key(Path("study")) == key


ZEROS = np.zeros((FACES, 3, 8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"original": ZEROS[:, 0]}, "another 'original' of styleae than of interfacegan"),
        ({"direction": np.zeros((FACES, 3))}, "another 'direction' of styleae"),
        ({"attributes": np.array(["age", "smile", "glasses"])}, "another 'attributes' of styleae"),
        ({"edited": ZEROS[:, :2]}, r"expected edits of shape \[4, 3, 8, 8, 3\].* got \[4, 2, 8, 8, 3\]"),
        ({"direction": np.array({"a": 1})}, "expected the pictures of styleae, got ValueError"),
        ({"direction": np.array(1.0)}, "expected the pictures of styleae, got IndexError"),
    ],
)
def test_pictures_that_do_not_fit_are_refused(reports, changes, message):
    write_report(reports, "styleae", **changes)
    with pytest.raises(PipelineError, match=message):
        read_edits(reports)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY"])
def test_a_damaged_file_is_refused(reports, content):
    (reports / "styleae/faces.npz").write_bytes(content)
    with pytest.raises(PipelineError, match=r"in reports/styleae/faces\.npz: run `dvc repro`"):
        read_edits(reports)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--editors", "styleea,plugen"], "no pictures of the editor 'styleea'.*did you mean 'styleae'"),
        (["--editors", "styleae,styleae"], r"expected two or more editors to compare, got \['styleae'\]"),
        (["--faces", "0"], "expected at least one face, got 0, in --faces"),
        (["--pairs", "0"], "expected at least one comparison, got 0, in --pairs"),
        (["--seed", "-1"], "expected a seed of 0 or more, got -1, in --seed"),
    ],
)
def test_a_refused_study_is_one_line_and_no_page(reports, capsys, arguments, message):
    assert main(["study", *arguments]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)
    assert not Path("study").exists()


def test_edits_that_nobody_reached_leave_nothing_to_compare(reports):
    for editor in EDITORS:
        write_report(reports, editor, edited=ZEROS)
    with pytest.raises(PipelineError, match="expected edits to compare, got none"):
        draw_comparisons(read_edits(reports), 12, seed=0)


def test_the_commands_make_a_study_and_report_it(reports, capsys):
    assert main(["study", "--editors", "styleae,plugen", "--pairs", "6", "--out", "mine"]) == 0
    assert "6 comparisons of styleae, plugen" in capsys.readouterr().out
    key = read_key(Path("mine"))
    answers = [
        {"code": code, "question": question, "chosen": "left" if known["left"] == "styleae" else "right"}
        for (code, known), question in product(key["comparisons"].items(), QUESTIONS)
    ]
    Path("a.json").write_text(json.dumps({"study": key["study"], "participant": "p1", "answers": answers}))
    assert main(["study-report", "mine", "a.json"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"styleae +100 % \[61 %, 100 %\] +100 % \[61 %, 100 %\]", printed)
    assert "answers: 12 of 12, participants: 1" in printed
    assert "| plugen | styleae | 0 % [0 %, 39 %] | 6 |" in Path("mine/report.md").read_text()
    report = json.loads(Path("mine/report.json").read_text())
    assert report["questions"]["edit"]["editors"]["plugen"]["wins"] == 0


def test_fewer_comparisons_than_asked_are_announced(reports, capsys):
    assert main(["study", "--pairs", "500"]) == 0
    assert "500 comparisons were asked for, and that is all there are" in capsys.readouterr().out


def test_the_editors_of_a_comparison_can_be_studied(reports, capsys):
    shutil.copytree(reports, "comparisons/peers/reports")
    shutil.rmtree(reports)
    assert main(["study", "--folder", "comparisons/peers", "--pairs", "4"]) == 0
    assert "4 comparisons of" in capsys.readouterr().out and Path("study/index.html").exists()
