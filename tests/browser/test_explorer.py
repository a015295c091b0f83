"""The explorer in a real browser: sliders change the picture, and nothing is asked of the network."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from pipeline.explorer import Face, explorer_page

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ATTRIBUTES = ["age", "expression"]
FRAMED = (
    '<!doctype html><iframe sandbox="allow-scripts" src="explorer.html" width="900" height="900"></iframe>'
)


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail(
            "the browser tests need Chromium: run `apt-get install chromium`, or `make test`, which does"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page whose frames are grey: the level tells face, attribute and position."""
    folder = tmp_path_factory.mktemp("explorer")
    faces = []
    for base in (0, 120):
        level = base + np.arange(10).reshape(2, 5) * 10
        frames = np.broadcast_to(level[..., None, None, None], (2, 5, 16, 16, 3)).astype(np.uint8)
        moves = np.broadcast_to(np.arange(-2.0, 3)[None, :, None], (2, 5, 2)) * np.eye(2)[:, None]
        faces.append(Face(np.full((16, 16, 3), base + 110, np.uint8), frames, moves))
    page = explorer_page(faces, editor="styleae", attributes=ATTRIBUTES, values=[-2, -1, 0, 1, 2])
    (folder / "explorer.html").write_text(page, encoding="utf-8")
    (folder / "framed.html").write_text(FRAMED)
    return folder


@pytest.fixture
def page(browser, folder):
    page = browser.new_page()
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto((folder / "explorer.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    yield page
    assert page.errors == []
    page.close()


def level(page, canvas="picture"):
    """The grey level in the middle of a canvas."""
    script = "c => c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[0]"
    return page.locator(f"#{canvas}").evaluate(script)


def slide(page, attribute, value):
    page.locator(f"#slider-{ATTRIBUTES.index(attribute)}").fill(str(value))


def test_a_slider_changes_the_picture(page):
    slide(page, "age", 2)
    assert level(page) == pytest.approx(40, abs=2)
    slide(page, "age", -2)
    assert level(page) == pytest.approx(0, abs=2)


def test_pictures_are_blended_between_two_steps(page):
    slide(page, "age", 1.4)
    assert level(page) == pytest.approx(34, abs=2)


def test_before_stays_and_after_follows(page):
    before = level(page, "before")
    slide(page, "expression", 2)
    assert level(page, "before") == before == pytest.approx(110, abs=2)
    assert level(page, "after") == pytest.approx(90, abs=2)


def test_moving_one_slider_returns_the_others(page):
    slide(page, "age", 2)
    slide(page, "expression", 1)
    assert [page.locator(f"#slider-{k}").input_value() for k in (0, 1)] == ["0", "1"]
    assert "returns the others to 0" in page.locator(".hint").inner_text()


def test_picking_another_face_keeps_the_edit(page):
    slide(page, "age", 2)
    page.locator("#gallery button").nth(1).click()
    assert level(page) == pytest.approx(160, abs=2)


def test_reset_and_escape_return_to_the_unedited_face(page):
    for back in (lambda: page.click("#reset"), lambda: page.keyboard.press("Escape")):
        slide(page, "age", 2)
        back()
        assert page.locator("#slider-0").input_value() == "0"
        assert level(page) == pytest.approx(20, abs=2)


def test_sliders_and_faces_work_from_the_keyboard(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#gallery button").nth(1).get_attribute("aria-pressed") == "true"
    page.locator("#slider-0").focus()
    page.keyboard.press("End")
    assert page.locator("#slider-0").get_attribute("aria-valuetext") == "+2.0 σ"
    assert level(page) == pytest.approx(160, abs=2)


def test_the_judge_follows_the_slider(page):
    slide(page, "expression", 1.4)
    assert page.locator(".read.asked").inner_text().split() == ["expression", "+1.40"]


def test_no_request_leaves_the_page(page):
    slide(page, "age", 2)
    page.wait_for_timeout(200)
    assert [url for url in page.requests if not url.startswith("data:")] == [page.url]


def test_a_sandboxed_frame_shows_it_too(browser, folder):
    page = browser.new_page()
    page.goto((folder / "framed.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for()
    frame.locator("#slider-0").fill("2")
    assert frame.locator("#caption").inner_text() == "age +2.0 σ"
    page.close()


@pytest.mark.parametrize("width", [380, 800, 1400])
def test_the_page_fits_every_width(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
