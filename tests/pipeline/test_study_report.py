"""The report of the user study: its intervals are SciPy's, its rates count what was answered."""

from __future__ import annotations

import json
from itertools import combinations, product
from pathlib import Path

import pytest
from scipy.stats import binomtest

from pipeline.errors import PipelineError
from pipeline.study import QUESTIONS
from pipeline.study_report import Rate, read_answers, read_key, report_data

EDITORS = ["interfacegan", "plugen", "styleae"]


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """The key of a study in which each two editors meet four times, twice on either side; in its folder."""
    monkeypatch.chdir(tmp_path)
    pairs = [p for first, second in combinations(EDITORS, 2) for p in [(first, second), (second, first)] * 2]
    comparisons = {f"c{i:03d}": {"left": left, "right": right} for i, (left, right) in enumerate(pairs, 1)}
    Path("key.json").write_text(json.dumps({"study": "5eed", "comparisons": comparisons}))
    return read_key(Path())


@pytest.mark.parametrize(("wins", "shown"), [(0, 1), (1, 1), (0, 20), (9, 10), (31, 57), (500, 1000)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_intervals_are_scipys(wins, shown, level):
    expected = binomtest(wins, shown).proportion_ci(level, method="wilson")
    assert Rate(wins, shown).interval(level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def exported(key, participant, chooses, **changes):
    """The file of a participant, who chooses by ``chooses(question, left, right)`` the name of an editor."""
    answers = []
    for (code, known), question in product(key["comparisons"].items(), QUESTIONS):
        name = chooses(question, known["left"], known["right"])
        side = "left" if name == known["left"] else "right"
        answers.append({"code": code, "question": question, "chosen": side, "seconds": 1.5})
    path = Path(f"answers-{participant}.json")
    path.write_text(
        json.dumps({"study": key["study"], "participant": participant, "answers": answers, **changes})
    )
    return path


def test_rates_count_wins_against_every_opponent(key):
    likes = exported(key, "p1", lambda question, *names: max(names))  # the later in the alphabet
    mixed = exported(key, "p2", lambda question, *names: (min if question == "person" else max)(names))
    data = report_data(read_answers([likes, mixed], key), key)
    assert (data["participants"], data["answers"], data["asked"]) == (2, 48, 48)
    edit, person = data["questions"]["edit"], data["questions"]["person"]
    assert {name: (r["wins"], r["shown"]) for name, r in edit["editors"].items()} == {
        "interfacegan": (0, 16),
        "plugen": (8, 16),
        "styleae": (16, 16),
    }
    assert all(rate["rate"] == 0.5 for rate in person["editors"].values())
    assert data["left"]["rate"] == 0.5
    assert [(r["first"], r["second"], r["wins"], r["shown"]) for r in edit["pairs"]] == [
        ("interfacegan", "plugen", 0, 8),
        ("interfacegan", "styleae", 0, 8),
        ("plugen", "styleae", 0, 8),
    ]


def test_unfinished_answers_count_as_far_as_they_go(key):
    path = exported(key, "p1", lambda question, left, right: left)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "answers": content["answers"][:1]}))
    data = report_data(read_answers([path], key), key)
    assert (data["answers"], data["asked"], data["left"]["rate"]) == (1, 24, 1.0)
    assert all(rate["rate"] is None for rate in data["questions"]["person"]["editors"].values())
    assert data["questions"]["person"]["pairs"] == []


ANSWER = {"code": "c001", "question": "edit", "chosen": "left"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": "f00"}, "expected answers to the study 5eed, got answers to 'f00', in answers-p1"),
        ({"answers": [{**ANSWER, "code": "c999"}]}, r"got \('c999', 'edit', 'left'\), in answers-p1"),
        ({"answers": [{**ANSWER, "question": "age"}]}, "expected an answer to one of the study's questions"),
        ({"answers": [{**ANSWER, "chosen": "both"}]}, "expected an answer to one of the study's questions"),
        ({"answers": [ANSWER, ANSWER]}, r"got two to \('c001', 'edit'\), in answers-p1"),
        ({"answers": [{"code": "c001"}]}, "expected exported answers, got KeyError: 'question'"),
        ({"answers": 3}, "expected exported answers, got TypeError"),
    ],
)
def test_answers_that_do_not_fit_are_refused(key, changes, message):
    with pytest.raises(PipelineError, match=message):
        read_answers([exported(key, "p1", lambda question, left, right: left, **changes)], key)


@pytest.mark.parametrize("content", ["", "{", "[]", "[" * 100_000])
def test_damaged_answers_are_refused(key, content):
    Path("answers.json").write_text(content)
    with pytest.raises(PipelineError, match=r"expected exported answers, got .*, in answers\.json"):
        read_answers([Path("answers.json")], key)


def test_a_participant_counts_once(key):
    path = exported(key, "p1", lambda question, left, right: left)
    copy = Path("answers-copy.json")
    copy.write_bytes(path.read_bytes())
    with pytest.raises(PipelineError, match=r"got answers-p1\.json and answers-copy\.json of 'p1'"):
        read_answers([path, copy], key)


@pytest.mark.parametrize("content", [None, "{", '{"study": "a", "comparisons": []}', '{"study": "a"}'])
def test_a_missing_or_damaged_key_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "key.json").write_text(content)
    with pytest.raises(PipelineError, match=r"expected the key of a study, got .*key\.json"):
        read_key(tmp_path)
