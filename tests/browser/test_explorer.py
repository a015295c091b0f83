"""The explorer in a real browser, of one editor or several: sliders change pictures, no request is made."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.explorer import Face, explorer_page

ATTRIBUTES = ["age", "expression"]
EDITORS = ["styleae", "interfacegan", "plugen"]
FRAMED = '<!doctype html><iframe sandbox="allow-scripts" src="{}.html" width="900" height="900"></iframe>'


def grey_faces(editor=0):
    """Faces whose frames are grey: the level tells face, attribute, position and editor."""
    for base in (0, 120):
        level = base + editor + np.arange(10).reshape(2, 5) * 10
        frames = np.broadcast_to(level[..., None, None, None], (2, 5, 16, 16, 3)).astype(np.uint8)
        moves = np.broadcast_to(np.arange(-2.0, 3)[None, :, None], (2, 5, 2)) * np.eye(2)[:, None]
        yield Face(np.full((16, 16, 3), base + 110, np.uint8), frames, moves * (1 + editor / 10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A page of one editor, a page of three, and a frame around each."""
    folder = tmp_path_factory.mktemp("explorer")
    options = {"attributes": ATTRIBUTES, "values": [-2, -1, 0, 1, 2]}
    for name, editors in {"explorer": EDITORS[:1], "several": EDITORS}.items():
        faces = {editor: list(grey_faces(5 * e)) for e, editor in enumerate(editors)}
        (folder / f"{name}.html").write_text(explorer_page(faces, **options), encoding="utf-8")
        (folder / f"framed-{name}.html").write_text(FRAMED.format(name))
    return folder


@pytest.fixture
def page(opened, folder):
    with opened(folder / "explorer.html") as page:
        yield page


@pytest.fixture
def pair(opened, folder):
    with opened(folder / "several.html") as page:
        yield page


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


@pytest.mark.parametrize("kind", ["page", "pair"])
def test_no_request_leaves_the_page(request, kind):
    page = request.getfixturevalue(kind)
    slide(page, "age", 2)
    page.wait_for_timeout(200)
    assert [url for url in page.requests if not url.startswith("data:")] == [page.url]


@pytest.mark.parametrize("name", ["explorer", "several"])
def test_a_sandboxed_frame_shows_it_too(browser, folder, name):
    page = browser.new_page()
    page.goto((folder / f"framed-{name}.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for()
    frame.locator("#slider-0").fill("2")
    assert frame.locator("#caption").inner_text() == "age +2.0 σ"
    page.close()


@pytest.mark.parametrize("kind", ["page", "pair"])
@pytest.mark.parametrize("width", [380, 800, 1400])
def test_the_page_fits_every_width(request, kind, width):
    page = request.getfixturevalue(kind)
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_one_editor_has_no_pickers(page):
    assert page.locator("select").count() == 0
    assert page.title() == "styleae explorer"


def test_two_editors_show_the_same_face_at_the_same_position(pair):
    assert [level(pair, p) for p in ("picture", "picture-1")] == pytest.approx([20, 25], abs=2)
    slide(pair, "age", 2)
    pair.locator("#gallery button").nth(1).click()
    assert [level(pair, p) for p in ("picture", "picture-1")] == pytest.approx([160, 165], abs=2)
    assert level(pair, "before") == pytest.approx(230, abs=2)


def test_a_picker_changes_its_own_picture(pair):
    slide(pair, "age", 2)
    pair.get_by_label("Right editor").select_option("plugen")
    assert [level(pair, p) for p in ("picture", "picture-1")] == pytest.approx([40, 50], abs=2)
    assert pair.locator("#picture-1").get_attribute("aria-label") == "Face 1, age +2.0 σ, plugen"


def test_picking_the_editor_of_the_other_side_swaps_the_two(pair):
    pair.get_by_label("Left editor").select_option("interfacegan")
    shown = [pair.locator(f"#editor-{v} option:checked").inner_text() for v in (0, 1)]
    assert shown == ["interfacegan", "styleae"]
    assert [level(pair, p) for p in ("picture", "picture-1")] == pytest.approx([25, 20], abs=2)


def test_pickers_work_from_the_keyboard(pair):
    pair.get_by_label("Left editor").focus()
    pair.keyboard.press("End")
    assert level(pair) == pytest.approx(30, abs=2)
    pair.keyboard.press("Tab")
    assert pair.evaluate("document.activeElement.ariaLabel") == "Right editor"


def test_the_judge_says_what_both_editors_did(pair):
    slide(pair, "expression", 2)
    asked = pair.locator(".read.asked")
    assert asked.inner_text().split() == ["expression", "+2.00", "+3.00"]
    assert asked.get_attribute("aria-label") == "expression: styleae +2.00, interfacegan +3.00"
    bars = [bar.bounding_box()["width"] for bar in asked.locator(".bar i").all()]
    assert bars[1] == pytest.approx(1.5 * bars[0], rel=0.05)


def test_the_bars_have_the_colours_of_the_pickers(pair):
    slide(pair, "age", 2)
    colours = [
        [i.evaluate("i => getComputedStyle(i).backgroundColor") for i in pair.locator(where).all()]
        for where in (".picker i", ".read.asked .bar i")
    ]
    assert colours[0] == colours[1]
    assert len(set(colours[0])) == 2
