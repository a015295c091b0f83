"""Each kind of failure is found, counted, and shown by its worst."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.comparing.edits import SCORES
from pipeline.comparing.failures import KINDS, Failure, count_failures, worst_failures
from tests.compared import at, edits_of

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
    rare = np.zeros((4, 2, 2), bool)
    rare[1:3] = True
    counted = [row for row in count_failures(edits, 1.0, rare) if row["count"]]
    numbers = {"count": 1, "edits": 4, "rare": 1, "rare_edits": 2}
    assert counted == [{"failure": kind, "attribute": "age", "direction": "-", **numbers}]
    assert not any(row["rare"] for row in count_failures(edits, 1.0, ~rare) if row["count"])


def test_the_worst_failures_come_first_and_differ():
    lost = np.full((4, 2, 2), 0.95)
    lost[:, 0, 0] = [0.1, 0.2, 0.3, 0.4]
    lost[1, 1, 1] = 0.7
    found = worst_failures(edits_of(identity=lost), 1.0, most=3)["identity lost"]
    assert [(f.id, f.column, f.direction) for f in found] == [(10, 0, 1), (11, 1, -1), (11, 0, 1)]


def test_what_was_not_posed_is_no_failure():
    nothing = edits_of(**{name: np.nan for name in SCORES})
    assert not any(worst_failures(nothing, 1.0, most=3).values())
    assert count_failures(nothing, 1.0, np.ones((4, 2, 2), bool)) == []
