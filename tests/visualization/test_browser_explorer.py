"""The explorer file in a real browser."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import SCREENS, Visit, check_accessibility, word
from PIL import Image
from playwright.sync_api import Page, expect

from captioner.decoding.outputs import Answer, AnswerChoice, Caption, Word
from captioner.visualization.explorer import (
    answer_record,
    caption_record,
    picture_record,
    save_explorer,
)

ROWS, COLUMNS = 3, 5
HOSTILE = """</script><script>window.bad=1</script><img src=x onerror="window.bad=1">'&"""


def one_cell(row: int, column: int) -> np.ndarray:
    weights = np.full((ROWS, COLUMNS), 0.2 / 14)
    weights[row, column] = 0.8
    return weights


def make_record(name: str, colour: str) -> dict:
    """Two captions and an answer; each word of the first has most weight in a different cell."""
    dogs = Caption(
        "two dogs run",
        (Word("two", 0.5), Word("dogs", 0.912), Word("run", 0.0004)),
        -3.21,
        np.stack([one_cell(0, 0), one_cell(2, 4), one_cell(1, 2)]),
    )
    others = ((Word("a", 0.6), Word("<end>", 0.1)), (Word("cats", 0.05),), ())
    cat = Caption("a cat", (Word("a", 0.9), Word("cat", 0.4)), -4.0, np.stack([one_cell(0, 4)] * 2))
    choices = (AnswerChoice("red", 0.7), AnswerChoice("blue", 0.2))
    answer = Answer("red", 0.7, choices, np.stack([one_cell(2, 0), one_cell(0, 2)]))
    return picture_record(
        name,
        Image.new("RGB", (500, 300), colour),
        [caption_record(dogs, others), caption_record(cat, ((), ()))],
        [answer_record("what color is it?", answer)],
    )


@pytest.fixture(scope="module")
def explorer(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("explorer") / "explorer.html"
    save_explorer([make_record("one.jpg", "#777"), make_record(HOSTILE, "#358")], file)
    return file.as_uri()


def brightest(page: Page) -> tuple[int, int]:
    """Row and column of the cell whose middle is brightest in the overlay."""
    cell = page.evaluate(
        """([rows, columns]) => {
          const canvas = document.querySelector(".stage canvas"), pen = canvas.getContext("2d");
          let best = [-1];
          for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) {
            const [r, g, b, a] = pen.getImageData(
              Math.floor((column + 0.3) * canvas.width / columns),
              Math.floor((row + 0.3) * canvas.height / rows), 1, 1).data;
            if ((r + g + b) * a > best[0]) best = [(r + g + b) * a, row, column];
          }
          return best.slice(1);
        }""",
        [ROWS, COLUMNS],
    )
    return tuple(cell)


def test_hovering_a_word_shows_its_map_and_description(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    spoken = page.locator(".spoken")
    expect(spoken).to_have_text("dogs: 91 %, looked at the lower right")  # "two" says little
    assert brightest(page) == (2, 4)
    assert page.locator(".others li").all_text_contents() == ["cats5.0 %"]
    word(page, "run").hover()
    expect(spoken).to_have_text("run: < 0.1 %, looked at the centre")
    assert brightest(page) == (1, 2)
    expect(page.locator(".others")).to_be_hidden()
    word(page, "two").hover()
    expect(spoken).to_have_text("two: 50 %, looked at the upper left")
    assert brightest(page) == (0, 0)
    expect(page.get_by_role("heading", name="Other words it considered")).to_be_visible()
    others = page.locator(".others li")
    assert others.all_text_contents() == ["a60 %", "(end of the sentence)10 %"]
    assert all(url.startswith(("file:", "data:")) for url in visit.asked)


def test_map_is_right_after_fading(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer, reduced_motion="no-preference")
    word(page, "run").hover()
    page.wait_for_timeout(600)
    assert brightest(page) == (1, 2)


def test_a_caption_says_how_sure_it_is_and_can_be_copied(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    verdict = page.locator(".verdict")
    # (50 + 91.2 + 0.04) / 3
    expect(verdict).to_contain_text("Unsure: 47 % of the words are expected to be right")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "two dogs run"
    page.get_by_label("a cat").check()
    expect(verdict).to_contain_text("Fairly sure: 65 %")
    # As on a page from another machine without TLS.
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "a cat"
    page.get_by_label("what color is it? red").check()
    expect(verdict).to_contain_text("Sure: 70 %")


def test_the_caption_is_the_largest_text(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    sizes = page.evaluate(
        """() => Object.fromEntries(["h1", ".words button", ".spoken", ".verdict", "h2"].map(
          (name) => [name, parseFloat(getComputedStyle(document.querySelector(name)).fontSize)]))"""
    )
    assert sizes.pop(".words button") > 1.4 * max(sizes.values())


@pytest.mark.parametrize("size", [(64, 40), (40, 400)])
def test_small_pictures_fill_the_column_and_tall_ones_fit_the_window(
    visit: Visit, tmp_path: Path, size: tuple[int, int]
) -> None:
    caption = Caption(
        "a dog", (Word("a", 0.5), Word("dog", 0.5)), -1.0, np.stack([one_cell(0, 0)] * 2)
    )
    record = picture_record("a", Image.new("RGB", size), [caption_record(caption, ((), ()))], [])
    save_explorer([record], tmp_path / "small.html")
    page = visit.open((tmp_path / "small.html").as_uri())
    expect(word(page, "dog")).to_have_attribute("aria-current", "true")
    stage, canvas, column = (
        page.locator(name).bounding_box()
        for name in (".stage", ".stage canvas", ".viewer > :first-child")
    )
    assert stage == canvas
    assert stage["width"] / stage["height"] == pytest.approx(size[0] / size[1], rel=0.02)
    if size[0] > size[1]:
        assert stage["width"] == pytest.approx(column["width"], abs=1)
    else:
        assert 500 < stage["height"] < 800


def test_views_of_cells_and_of_the_picture_alone(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    word(page, "two").focus()
    canvas = page.locator(".stage canvas")
    smooth = canvas.evaluate("canvas => canvas.toDataURL()")
    page.get_by_label("Cells").check()
    assert brightest(page) == (0, 0)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != smooth
    # A cell has one colour, up to its edge.
    colours = canvas.evaluate(
        """canvas => [0.05, 0.2, 0.9].map((x) => canvas.getContext("2d").getImageData(
          Math.floor((4 + x) * canvas.width / 5), Math.floor(0.1 * canvas.height / 3), 1, 1
        ).data.join())"""
    )
    assert len(set(colours)) == 1
    page.get_by_label("Picture", exact=True).check()
    expect(canvas).to_be_hidden()
    page.get_by_label("Smooth").check()
    expect(canvas).to_be_visible()
    assert brightest(page) == (0, 0)


def test_keyboard_alone_is_enough(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    spoken = page.locator(".spoken")
    page.keyboard.press("ArrowRight")  # without a focused element
    expect(spoken).to_contain_text("run")
    page.reload()
    for _ in range(3):  # two pictures, the words
        page.keyboard.press("Tab")
    expect(word(page, "dogs")).to_be_focused()
    for key, expected in [
        ("ArrowDown", "run"), ("ArrowRight", "run"), ("Home", "two"),
        ("ArrowLeft", "two"), ("End", "run"), ("ArrowUp", "dogs"),
    ]:  # fmt: skip
        page.keyboard.press(key)
        expect(word(page, expected)).to_be_focused()
        expect(spoken).to_contain_text(expected)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Play")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(word(page, "dogs")).to_be_focused()
    for _ in range(4):  # play, copy, the view, the captions
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # the next caption
    expect(word(page, "cat")).to_be_visible()


def test_play_button_goes_through_the_words(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    page.clock.install(time=0)
    page.clock.pause_at(3_600_000)  # from now on time passes only in run_for
    word(page, "two").focus()
    page.keyboard.press("Space")
    spoken = page.locator(".spoken")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(spoken).to_contain_text("dogs")
    page.clock.run_for(1000)
    expect(spoken).to_contain_text("run")
    page.clock.run_for(1000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.get_by_role("button", name="Play").click()  # once more from the start
    expect(spoken).to_contain_text("two")
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(5000)
    expect(spoken).to_contain_text("two")
    page.get_by_label("a cat").check()  # of another sentence the first word comes first
    page.get_by_role("button", name="Play").click()
    expect(spoken).to_contain_text("a:")


def test_tapping_on_a_phone(visit: Visit, explorer: str) -> None:
    page = visit.open(
        explorer, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    word(page, "dogs").tap()
    expect(page.locator(".spoken")).to_contain_text("dogs: 91 %")
    assert brightest(page) == (2, 4)
    # The picture stays visible while its words are tapped.
    page.mouse.wheel(0, 300)
    word(page, "run").tap()
    assert page.locator(".stage").bounding_box()["y"] >= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_several_captions_and_an_answer_with_two_looks(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    page.get_by_label("a cat").check()
    expect(word(page, "cat")).to_be_visible()
    assert page.get_by_role("toolbar").get_by_role("button").all_inner_texts() == ["a", "cat"]
    assert brightest(page) == (0, 4)
    page.get_by_label("what color is it? red").check()
    word(page, "2nd look").hover()
    expect(page.locator(".spoken")).to_have_text("2nd look: looked at the upper centre")
    assert brightest(page) == (0, 2)
    assert page.locator(".others li").all_text_contents() == ["blue20 %"]


def test_gallery_and_a_name_with_markup(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    gallery = page.get_by_role("group", name="Pictures").get_by_role("button")
    shown = page.locator(".stage img")
    first = shown.get_attribute("src")
    gallery.nth(1).click()
    assert shown.get_attribute("src") != first
    expect(gallery.nth(1)).to_have_attribute("aria-current", "true")
    expect(page.locator(".name")).to_have_text(HOSTILE)
    assert page.evaluate("window.bad") is None
    assert page.evaluate("document.images.length") == 3


def test_words_with_markup(visit: Visit, tmp_path: Path) -> None:
    caption = Caption(HOSTILE, (Word(HOSTILE, 0.5),), -1.0, one_cell(0, 0)[None])
    answer = Answer(HOSTILE, 0.5, (AnswerChoice(HOSTILE, 0.5),), one_cell(0, 0)[None])
    save_explorer(
        [
            picture_record(
                HOSTILE,
                Image.new("RGB", (50, 30)),
                [caption_record(caption, ((Word(HOSTILE, 0.4),),))],
                [answer_record(HOSTILE, answer)],
            )
        ],
        tmp_path / "hostile.html",
    )
    page = visit.open((tmp_path / "hostile.html").as_uri())
    expect(page.get_by_role("toolbar").get_by_role("button")).to_have_text(HOSTILE)
    page.locator(".sentences").get_by_role("radio").nth(1).check()
    expect(page.locator(".question")).to_contain_text(HOSTILE)
    assert page.evaluate("window.bad") is None


def test_page_without_scripts_shows_pictures_and_captions(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer, java_script_enabled=False)
    expect(page.get_by_role("img").first).to_be_visible()
    expect(page.get_by_text("two dogs run").first).to_be_visible()
    expect(page.get_by_text("what color is it? red").first).to_be_visible()


def test_answer_without_a_look(visit: Visit, tmp_path: Path) -> None:
    answer = Answer("red", 0.7, (AnswerChoice("red", 0.7),), np.zeros((0, ROWS, COLUMNS)))
    record = picture_record("a", Image.new("RGB", (9, 9)), [], [answer_record("what?", answer)])
    save_explorer([record], tmp_path / "blind.html")
    page = visit.open((tmp_path / "blind.html").as_uri())
    expect(page.locator(".spoken")).to_have_text("no look: looked at nothing")
    expect(page.locator(".stage canvas")).to_be_hidden()


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_explorer_is_accessible(visit: Visit, explorer: str, screen: dict[str, Any]) -> None:
    page = visit.open(explorer, **screen)
    check_accessibility(page)
    word(page, "dogs").focus()
    page.get_by_label("Cells").check()
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
