"""Reading edits: each lies where it was asked."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.comparing.edits import read_edits
from pipeline.errors import PipelineError
from tests.compared import NAMES, ROWS, write_edits


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
