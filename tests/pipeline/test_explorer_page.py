"""The explorer page as a file: self-contained, complete, small."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pipeline import explorer
from pipeline.errors import PipelineError
from pipeline.explorer import SIDE, Face, explorer_page

VALUES = [-2.0, 0.0, 2.0]


def face(seed=0):
    """Pictures whose grey level counts the frames."""
    frames = np.broadcast_to(
        np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * 40, (2, 3, 16, 16, 3)
    ).copy()
    moves = np.random.default_rng(seed).normal(size=(2, 3, 2))
    return Face(np.full((16, 16, 3), 250, np.uint8), frames, moves)


def page_and_data(*editors):
    """The page of two faces, and the data in it."""
    faces = {editor: [face(0), face(1)] for editor in editors or ["styleae"]}
    page = explorer_page(faces, attributes=["age", "smile"], values=VALUES)
    return page, json.loads(re.search(r"const DATA = (.*);\n", page).group(1))


def test_the_page_needs_nothing_from_elsewhere():
    page, _ = page_and_data()
    assert not re.search(r"https?://|src=|@import|localStorage|fetch\(", page)
    assert "default-src 'none'" in page


def test_every_frame_is_in_the_sheet_of_its_face():
    _, data = page_and_data()
    sheet = Image.open(
        io.BytesIO(base64.b64decode(data["editors"][0]["faces"][0]["sheet"].split(",")[1]))
    ).convert("L")
    assert sheet.size == (3 * SIDE, 3 * SIDE)
    levels = [
        [sheet.getpixel((x * SIDE + SIDE // 2, y * SIDE + SIDE // 2)) for x in range(3)] for y in range(3)
    ]
    np.testing.assert_allclose(levels, [[0, 40, 80], [120, 160, 200], [250, 250, 250]], atol=3)


def test_the_judge_is_in_the_page():
    _, data = page_and_data()
    np.testing.assert_allclose(data["editors"][0]["faces"][1]["moves"], face(1).moves, atol=0.005)


def test_a_name_cannot_break_out_of_the_script():
    page, data = page_and_data("</script><b>")
    assert page.count("</script>") == 1
    assert data["editors"][0]["name"] == "</script><b>"


def test_pictures_are_compressed_until_the_page_is_small_enough(monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    noisy = Face(noise[0, 0], noise, np.zeros((2, 3, 2)))
    options = {"attributes": ["age", "smile"], "values": VALUES}
    size = len(explorer_page({"e": [noisy]}, **options))
    monkeypatch.setattr(explorer, "LIMIT", size - 1000)
    assert len(explorer_page({"e": [noisy]}, **options)) < size - 1000


def test_a_page_that_cannot_be_small_enough_is_refused(monkeypatch):
    monkeypatch.setattr(explorer, "LIMIT", 1000)
    with pytest.raises(PipelineError, match="evaluate.explorer_faces"):
        page_and_data()


def test_every_editor_is_in_the_page_in_order():
    _, data = page_and_data("styleae", "interfacegan", "plugen")
    assert [editor["name"] for editor in data["editors"]] == ["styleae", "interfacegan", "plugen"]
    assert [len(editor["faces"]) for editor in data["editors"]] == [2, 2, 2]


def test_many_editors_share_fewer_faces(monkeypatch):
    monkeypatch.setattr(explorer, "SHEETS", 5)
    _, data = page_and_data("a", "b", "c")
    assert [len(editor["faces"]) for editor in data["editors"]] == [1, 1, 1]
    _, data = page_and_data("a", "b")
    assert [len(editor["faces"]) for editor in data["editors"]] == [2, 2]


def test_a_page_of_several_editors_has_a_limit_of_its_own(monkeypatch):
    monkeypatch.setattr(explorer, "LIMIT", 1000)
    page_and_data("a", "b")
    monkeypatch.setattr(explorer, "SEVERAL_LIMIT", 1000)
    with pytest.raises(PipelineError, match="with 4 faces of 2 attributes"):
        page_and_data("a", "b")


@pytest.mark.parametrize("change", ["another face", "fewer faces"])
def test_editors_of_different_faces_are_refused(change):
    first, other = [face(0), face(1)], [face(0), face(1)]
    if change == "fewer faces":
        other.pop()
    else:
        other[1].original[0, 0] = 0
    with pytest.raises(PipelineError, match="expected the faces of a, got other ones of b"):
        explorer_page({"a": first, "b": other}, attributes=["age", "smile"], values=VALUES)
