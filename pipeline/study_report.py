"""What participants of the user study preferred: how often each editor won, and how sure that is.

Intervals are Wilson's. They keep their coverage with the few answers of a small study, and where everyone
agrees, which the textbook's normal interval does not; and they exist for one participant, where resampling
participants gives none. They take answers as independent, which those of one person are not entirely: with
many answers of few people the true intervals are wider.

References:
    | Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927
    | Brown, Cai, DasGupta, "Interval Estimation for a Binomial Proportion", Statistical Science 2001
"""

from __future__ import annotations

__all__ = [
    "REPORT",
    "Answers",
    "Rate",
    "percent",
    "read_answers",
    "read_key",
    "report_data",
    "write_study_report",
]

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import NormalDist
from typing import Any

from pipeline.errors import PipelineError
from pipeline.study import KEY, QUESTIONS, SIDES

REPORT = "report"
"""Name of the report's files, without its endings."""

Key = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something came of how many times.

    Attributes:
        wins: how often it came.
        shown: how often it could have.
    """

    wins: int
    shown: int

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The ends of Wilson's interval; NaN when nothing was shown.

        Example:
            >>> [round(end, 3) for end in Rate(9, 10).interval()]
            [0.596, 0.982]
        """
        if not self.shown:
            return math.nan, math.nan
        z, n, rate = NormalDist().inv_cdf((1 + level) / 2), self.shown, self.wins / self.shown
        middle = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
        return max(middle - half, 0.0), min(middle + half, 1.0)

    def to_json(self) -> dict[str, Any]:
        """Counts, the rate and the ends of its interval; null when nothing was shown."""
        counts = {"wins": self.wins, "shown": self.shown}
        if not self.shown:
            return {**counts, "rate": None, "low": None, "high": None}
        low, high = self.interval()
        return {**counts, "rate": self.wins / self.shown, "low": low, "high": high}


@dataclass(frozen=True, slots=True)
class Answers:
    """One participant's answers.

    Attributes:
        path: the exported file.
        participant: the random id.
        chosen: the side that was chosen for each comparison's code and question.
    """

    path: Path
    participant: str
    chosen: Mapping[tuple[str, str], str]


def read_key(folder: Path) -> Key:
    """What the codes of a study stand for.

    Raises:
        PipelineError: when the key is missing or damaged.
    """
    path = folder / KEY
    try:
        key = json.loads(path.read_text(encoding="utf-8"))
        [(c["left"], c["right"]) for c in key["comparisons"].values()]
        key["study"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"expected the key of a study, got {type(error).__name__}: {error}, in {path}: name a folder "
            "that `python -m pipeline study` has written"
        ) from error
    return key


def read_answers(paths: Iterable[Path], key: Key) -> list[Answers]:
    """The answers of several participants; one who has not answered everything counts with what there is.

    Raises:
        PipelineError: for a damaged file, answers to another study, or two files of one participant.
    """
    found: dict[str, Answers] = {}
    for path in paths:
        answers = _read_answers(path, key)
        if answers.participant in found:
            raise PipelineError(
                f"expected one file of each participant, got {found[answers.participant].path} and {path} of "
                f"{answers.participant!r}: leave one of them out"
            )
        found[answers.participant] = answers
    return list(found.values())


def _read_answers(path: Path, key: Key) -> Answers:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        study, participant = str(data["study"]), str(data["participant"])
        given = [(str(a["code"]), str(a["question"]), str(a["chosen"])) for a in data["answers"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise PipelineError(
            f"expected exported answers, got {type(error).__name__}: {error}, in {path}: export them again"
        ) from error
    if study != key["study"]:
        raise PipelineError(
            f"expected answers to the study {key['study']}, got answers to {study!r}, in {path}: leave it out"
        )
    chosen = {}
    for code, question, side in given:
        if code not in key["comparisons"] or question not in QUESTIONS or side not in SIDES:
            raise PipelineError(
                f"expected an answer to one of the study's questions, got {(code, question, side)}, in "
                f"{path}: export the answers again"
            )
        if (code, question) in chosen:
            raise PipelineError(
                f"expected one answer to each question, got two to {(code, question)}, in {path}: export the "
                "answers again"
            )
        chosen[code, question] = side
    return Answers(path, participant, chosen)


def report_data(answers: Sequence[Answers], key: Key) -> dict[str, Any]:
    """Win rates as plain JSON values.

    Returns:
        ``study``, ``participants``, ``answers``, ``asked`` (answers if everyone had finished), ``left`` (how
        often the left edit was chosen: about half where the side plays no role), and for each of the
        ``questions`` its ``text``, the rates of ``editors`` by name, and ``pairs``: for each two editors that
        were compared how often the ``first`` won against the ``second``.
    """
    comparisons = key["comparisons"]
    beats: Counter[tuple[str, str, str]] = Counter()  # question, winner, loser
    left = 0
    for (code, question), side in (item for each in answers for item in each.chosen.items()):
        other = SIDES[1 - SIDES.index(side)]
        beats[question, comparisons[code][side], comparisons[code][other]] += 1
        left += side == "left"
    editors = sorted({c[side] for c in comparisons.values() for side in SIDES})
    return {
        "study": key["study"],
        "participants": len(answers),
        "answers": beats.total(),
        "asked": len(answers) * len(comparisons) * len(QUESTIONS),
        "left": Rate(left, beats.total()).to_json(),
        "questions": {
            question: {"text": text, **_rates(question, editors, beats)}
            for question, text in QUESTIONS.items()
        },
    }


def _rates(question: str, editors: Sequence[str], beats: Counter[tuple[str, str, str]]) -> dict[str, Any]:
    """The rates of one question."""

    def rate(first: str, seconds: Iterable[str]) -> Rate:
        wins = sum(beats[question, first, second] for second in seconds)
        return Rate(wins, wins + sum(beats[question, second, first] for second in seconds))

    pairs = [(first, second, rate(first, [second])) for first, second in combinations(editors, 2)]
    return {
        "editors": {editor: rate(editor, editors).to_json() for editor in editors},
        "pairs": [{"first": a, "second": b, **r.to_json()} for a, b, r in pairs if r.shown],
    }


def write_study_report(folder: Path, data: Mapping[str, Any]) -> None:
    """Write ``report.json`` and, for people, ``report.md``."""
    (folder / f"{REPORT}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
    (folder / f"{REPORT}.md").write_text("\n".join(_markdown(data)) + "\n", encoding="utf-8")


def _markdown(data: Mapping[str, Any]) -> Iterable[str]:
    yield from (
        f"# User study {data['study']}",
        "",
        f"Participants: {data['participants']}. Answers: {data['answers']} of {data['asked']}; the left edit "
        f"was chosen in {percent(data['left'])}. In brackets: 95 % intervals (Wilson), answers taken as "
        "independent.",
    )
    for question in data["questions"].values():
        yield from ("", f"## {question['text']}", "")
        yield from _table(
            ["editor", "won", "comparisons"],
            [[name, percent(r), str(r["shown"])] for name, r in question["editors"].items()],
        )
        yield ""
        yield from _table(
            ["editor", "against", "won", "comparisons"],
            [[r["first"], r["second"], percent(r), str(r["shown"])] for r in question["pairs"]],
        )


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    for line in (heading, ["---"] * len(heading), *rows):
        yield f"| {' | '.join(line)} |"


def percent(rate: Mapping[str, Any]) -> str:
    """A rate for people: ``62 % [55, 69]``; a dash when nothing was shown."""
    if rate["rate"] is None:
        return "–"
    return f"{rate['rate']:.0%} [{rate['low']:.0%}, {rate['high']:.0%}]".replace("%", " %")
