"""The user study in a real browser: what people choose is what the report counts."""

from __future__ import annotations

import json
import random
from collections import Counter

import numpy as np
import pytest

from pipeline.study import QUESTIONS, Edits, draw_comparisons, write_study
from pipeline.study_report import read_answers, read_key, report_data

EDITORS = ["interfacegan", "plugen", "styleae"]
COUNT = 6
STEPS = COUNT * len(QUESTIONS)


@pytest.fixture
def study(tmp_path):
    """A study whose pictures are grey: the level tells the editor."""
    original = np.full((2, 16, 16, 3), 250, np.uint8)
    edits = [
        Edits(
            editor=editor,
            original=original,
            edited=np.full((2, 2, 16, 16, 3), 40 * (e + 1), np.uint8),
            direction=np.array([[1.0, -1.0], [-1.0, 1.0]]),
            attributes=("age", "smile"),
        )
        for e, editor in enumerate(EDITORS)
    ]
    write_study(tmp_path, draw_comparisons(edits, COUNT, seed=0), seed=0)
    return tmp_path


@pytest.fixture
def page(opened, study):
    with opened(study / "index.html") as page:
        yield page


def shown(page, where):
    """The editor of a picture, by its grey level."""
    script = """image => {
      const context = document.createElement("canvas").getContext("2d");
      return image.decode().then(() => context.drawImage(image, 0, 0))
        .then(() => context.getImageData(8, 8, 1, 1).data[0]);
    }"""
    return EDITORS[page.locator(f"#{where} img").evaluate(script) // 40 - 1]


def done(page):
    return int(page.locator("#count").inner_text().split()[0])


def download(page, folder):
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download answers").click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_the_report_counts_what_was_chosen(page, study):
    """By mouse and by both kinds of keys, with an answer taken back and a reload in between."""
    hands, chosen = random.Random(0), Counter()
    for step in range(STEPS):
        question = page.locator("#question").inner_text()
        sides = {side: shown(page, side) for side in ("left", "right")}
        side = hands.choice(["left", "right"])
        if step == 3:  # a slip, taken back
            page.keyboard.press("1")
            page.keyboard.press("Backspace")
        if step == 5:
            page.reload()
            page.wait_for_selector("body[data-ready]")
        assert done(page) == step
        match step % 3:
            case 0:
                page.locator(f"#{side}").click()
            case 1:
                page.keyboard.press({"left": "1", "right": "2"}[side])
            case 2:
                page.keyboard.press({"left": "ArrowLeft", "right": "ArrowRight"}[side])
        chosen[question, sides[side]] += 1
    path = download(page, study)
    key = read_key(study)
    data = report_data(read_answers([path], key), key)
    assert data["answers"] == data["asked"] == STEPS
    for question in data["questions"].values():
        for editor in EDITORS:
            assert question["editors"][editor]["wins"] == chosen[question["text"], editor]


def test_the_page_says_what_was_asked_and_not_by_whom(page, study):
    for known in read_key(study)["comparisons"].values():
        side = "up ↑" if known["direction"] > 0 else "down ↓"
        for question in QUESTIONS.values():
            assert page.locator("#asked").inner_text() == f"Asked: {known['attribute']} {side}"
            assert page.locator("#question").inner_text() == question
            assert (shown(page, "left"), shown(page, "right")) == (known["left"], known["right"])
            page.keyboard.press("1")


def test_undo_returns_to_the_question_before(page):
    undo = page.locator("#ask .undo")
    assert undo.is_disabled()
    first = page.locator("#question").inner_text()
    page.keyboard.press("2")
    assert page.locator("#question").inner_text() != first
    undo.click()
    assert page.locator("#question").inner_text() == first
    assert done(page) == 0


def test_answers_carry_times_and_a_participant(page, study):
    for _ in range(STEPS):
        page.keyboard.press("1")
    path = download(page, study)
    content = json.loads(path.read_text())
    assert path.name == f"answers-{content['participant']}.json"
    assert len(content["participant"]) == 16
    assert all(0 <= answer["seconds"] < 60 for answer in content["answers"])
    times = [content["started"], *(answer["at"] for answer in content["answers"]), content["exported"]]
    assert times == sorted(times)


def test_the_end_offers_the_text_and_the_next_participant(page, study):
    for _ in range(STEPS):
        page.keyboard.press("1")
    assert page.get_by_role("button", name="Download answers").evaluate("b => b === document.activeElement")
    assert page.locator("#next").is_disabled()
    first = json.loads(download(page, study).read_text())
    assert json.loads(page.locator("#text").input_value())["answers"] == first["answers"]
    page.locator("#next").click()
    assert done(page) == 0
    for _ in range(STEPS):
        page.keyboard.press("2")
    assert json.loads(download(page, study).read_text())["participant"] != first["participant"]


def test_a_held_key_answers_once(page):
    page.keyboard.down("1")
    page.keyboard.down("1")
    page.keyboard.up("1")
    assert done(page) == 1


def test_damaged_storage_begins_anew(page):
    page.keyboard.press("1")
    page.evaluate("localStorage.setItem(place, '{\"participant\": 1}')")
    page.reload()
    page.wait_for_selector("body[data-ready]")
    assert done(page) == 0


def test_a_sandboxed_frame_keeps_answers_in_memory(browser, study):
    frame = (
        '<!doctype html><iframe sandbox="allow-scripts" src="index.html" width="900" height="900"></iframe>'
    )
    (study / "framed.html").write_text(frame)
    page = browser.new_page()
    page.goto((study / "framed.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for()
    assert "keep the page open" in frame.locator("#kept").inner_text()
    for _ in range(STEPS):
        frame.locator("#left").click()
    assert len(json.loads(frame.locator("#text").input_value())["answers"]) == STEPS
    page.close()


def test_no_request_leaves_the_page(page):
    page.keyboard.press("1")
    page.wait_for_timeout(200)
    assert [url for url in page.requests if not url.startswith("data:")] == [page.url]


@pytest.mark.parametrize("width", [380, 800, 1400])
def test_the_page_fits_every_width(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
