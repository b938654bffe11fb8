"""The explorer file and the served page, in a real browser: Chromium, headless."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from captioner import Captioner
from captioner.api import Answer, AnswerChoice, Caption, Word
from captioner.explorer import answer_record, caption_record, picture_record, save_explorer
from captioner.serve.app import create_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Nothing but the pages themselves may use the network.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
ROWS, COLUMNS = 3, 5
HOSTILE = """</script><script>window.bad=1</script><img src=x onerror="window.bad=1">'&"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("there is no chromium; .ci/run installs it")
        pytest.skip("there is no chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        # Root, as in a container, may not use Chromium's sandbox.
        sandbox = ("--no-sandbox",) if os.geteuid() == 0 else ()
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *sandbox])
        yield launched
        launched.close()


class Visit:
    """Opens pages and notes what they complain of and what they ask for."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.asked: list[str] = []

    def open(self, address: str, **options: Any) -> Page:
        context = self.browser.new_context(**{"reduced_motion": "reduce", **options})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.note)
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page

    def note(self, line: ConsoleMessage) -> None:
        # The tests read the canvas again and again, which the pages never do.
        if line.type in ("error", "warning") and "willReadFrequently" not in line.text:
            self.complaints.append(line.text)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Fails the test if a page complained in the console of anything not taken from the list."""
    visiting = Visit(browser)
    yield visiting
    for context in visiting.contexts:
        context.close()
    assert visiting.complaints == []


def one_cell(row: int, column: int) -> np.ndarray:
    weights = np.full((ROWS, COLUMNS), 0.2 / 14)
    weights[row, column] = 0.8
    return weights


def make_record(name: str, colour: str) -> dict:
    """Two captions and an answer; every word looks mostly at a cell of its own."""
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
    found = page.evaluate(
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
    return tuple(found)


def word(page: Page, text: str) -> Any:
    return page.get_by_role("toolbar").get_by_role("button", name=text, exact=True)


def check_accessibility(page: Page) -> None:
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    told = [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html']}" for one in found]
    assert told == []


def test_hovering_a_word_moves_the_light_and_says_what_it_is(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    spoken = page.locator("[aria-live]")
    expect(spoken).to_have_text("two: 50 %, looked at the upper left")
    assert brightest(page) == (0, 0)
    word(page, "dogs").hover()
    expect(spoken).to_have_text("dogs: 91 %, looked at the lower right")
    assert brightest(page) == (2, 4)
    assert page.locator(".others li").all_text_contents() == ["dogs (chosen)91 %", "cats5.0 %"]
    word(page, "run").hover()
    expect(spoken).to_have_text("run: < 0.1 %, looked at the centre")
    assert brightest(page) == (1, 2)
    word(page, "two").hover()
    others = page.locator(".others li")
    assert others.all_text_contents() == ["a60 %", "two (chosen)50 %", "(end)10 %"]
    assert all(url.startswith(("file:", "data:")) for url in visit.asked)


def test_the_light_fades_over_unless_motion_is_unwelcome(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer, reduced_motion="no-preference")
    word(page, "dogs").hover()
    page.wait_for_timeout(600)
    assert brightest(page) == (2, 4)


def test_cells_and_the_bare_picture(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    canvas = page.locator(".stage canvas")
    smooth = canvas.evaluate("canvas => canvas.toDataURL()")
    page.get_by_label("Cells").check()
    assert brightest(page) == (0, 0)
    assert canvas.evaluate("canvas => canvas.toDataURL()") != smooth
    # Within a cell the colour is one, at its very edge too.
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


def test_it_works_from_the_keyboard_alone(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    spoken = page.locator("[aria-live]")
    page.keyboard.press("ArrowRight")  # with the focus nowhere
    expect(spoken).to_contain_text("dogs")
    page.reload()
    for _ in range(4):  # two pictures, the captions, the words
        page.keyboard.press("Tab")
    expect(word(page, "two")).to_be_focused()
    for key, expected in [
        ("ArrowRight", "dogs"), ("ArrowDown", "run"), ("ArrowRight", "run"), ("Home", "two"),
        ("ArrowLeft", "two"), ("End", "run"), ("ArrowUp", "dogs"),
    ]:  # fmt: skip
        page.keyboard.press(key)
        expect(word(page, expected)).to_be_focused()
        expect(spoken).to_contain_text(expected)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Play")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(word(page, "dogs")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")  # the next caption
    expect(word(page, "cat")).to_be_visible()


def test_playing_goes_through_the_words_and_ends(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    page.clock.install()
    word(page, "two").focus()
    page.keyboard.press("Space")
    spoken = page.locator("[aria-live]")
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


def test_tapping_on_a_phone(visit: Visit, explorer: str) -> None:
    page = visit.open(
        explorer, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    word(page, "dogs").tap()
    expect(page.locator("[aria-live]")).to_contain_text("dogs: 91 %")
    assert brightest(page) == (2, 4)
    # The picture is in sight while its words are tapped.
    word(page, "run").tap()
    assert page.locator(".stage").bounding_box()["y"] >= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_several_captions_and_an_answer_with_its_glimpses(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer)
    page.get_by_label("a cat").check()
    expect(word(page, "cat")).to_be_visible()
    assert page.get_by_role("toolbar").get_by_role("button").all_inner_texts() == ["a", "cat"]
    assert brightest(page) == (0, 4)
    page.get_by_label("what color is it? red").check()
    word(page, "glimpse 2").hover()
    expect(page.locator("[aria-live]")).to_have_text("glimpse 2: looked at the upper centre")
    assert brightest(page) == (0, 2)
    assert page.locator(".others li").all_text_contents() == ["red (chosen)70 %", "blue20 %"]


def test_a_gallery_and_a_name_that_would_be_markup(visit: Visit, explorer: str) -> None:
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


def test_words_that_would_be_markup(visit: Visit, tmp_path: Path) -> None:
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
    page.get_by_role("radio").nth(1).check()
    expect(page.locator(".question")).to_contain_text(HOSTILE)
    assert page.evaluate("window.bad") is None


def test_without_scripts_pictures_and_captions_are_there(visit: Visit, explorer: str) -> None:
    page = visit.open(explorer, java_script_enabled=False)
    expect(page.get_by_role("img").first).to_be_visible()
    expect(page.get_by_text("two dogs run").first).to_be_visible()
    expect(page.get_by_text("what color is it? red").first).to_be_visible()


def test_an_answer_without_a_glimpse(visit: Visit, tmp_path: Path) -> None:
    answer = Answer("red", 0.7, (AnswerChoice("red", 0.7),), np.zeros((0, ROWS, COLUMNS)))
    record = picture_record("a", Image.new("RGB", (9, 9)), [], [answer_record("what?", answer)])
    save_explorer([record], tmp_path / "blind.html")
    page = visit.open((tmp_path / "blind.html").as_uri())
    expect(page.locator("[aria-live]")).to_have_text("no glimpse: looked at nothing")
    expect(page.locator(".stage canvas")).to_be_hidden()


SCREENS = [
    {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    for width in (390, 1280)
    for scheme in ("light", "dark")
]


@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_the_explorer_is_accessible(visit: Visit, explorer: str, screen: dict[str, Any]) -> None:
    page = visit.open(explorer, **screen)
    check_accessibility(page)
    word(page, "dogs").focus()
    page.get_by_label("Cells").check()
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]


@pytest.fixture(scope="module")
def address(answering_checkpoint: Path, serve_app: Callable[[Any], str]) -> str:
    return serve_app(create_app(Captioner.load(answering_checkpoint, "cpu")))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "<b>photo.png"
    noise = np.random.default_rng(8).random((120, 200, 3)) * (255, 90, 40)
    Image.fromarray(noise.astype(np.uint8)).save(file)
    return file


@pytest.mark.parametrize("screen", SCREENS[:1] + SCREENS[3:], ids=str)
def test_from_upload_to_caption_to_question_to_download(
    visit: Visit, address: str, photo: Path, answering_checkpoint: Path, screen: dict[str, Any]
) -> None:
    page = visit.open(address, accept_downloads=True, **screen)
    check_accessibility(page)
    page.set_input_files("#file", photo)
    own = Captioner.load(answering_checkpoint, "cpu")
    said = own.caption(photo)
    expect(page.get_by_role("status")).to_have_text(f"It says: {said.text}")
    words = page.get_by_role("toolbar").get_by_role("button")
    assert words.all_inner_texts() == [one.word for one in said.words]
    before = page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()")
    words.last.hover()
    expect(page.locator("[aria-live]").last).to_contain_text(said.words[-1].word)
    assert page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()") != before

    question = "what color is this?"
    answer = own.answer(photo, question)
    page.get_by_label("Ask about the picture").fill(question)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"{question} {answer.text}")
    expect(page.locator(".question")).to_contain_text(f"{question} {answer.text}")
    expect(words.first).to_contain_text("glimpse")
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]

    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    saved = photo.with_name("explorer.html")
    downloading.value.save_as(saved)
    kept = visit.open(saved.as_uri())
    expect(kept.locator(".name")).to_have_text(photo.name)
    assert kept.get_by_role("radio").count() == 2 + 3  # a caption, the answer; the three views
    kept.get_by_label(question).check()
    expect(word(kept, "glimpse 1").or_(word(kept, "glimpse"))).to_be_visible()
    assert all(re.match(rf"{address}/|file:|data:|blob:", url) for url in visit.asked)


def test_settings_caption_again(
    visit: Visit, address: str, photo: Path, answering_checkpoint: Path
) -> None:
    page = visit.open(address)
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    with page.expect_response("**/api/caption") as answered:
        page.get_by_label("Captions", exact=True).fill("3")
        page.get_by_label("Captions", exact=True).blur()
    assert len(answered.value.json()["captions"]) == 3
    expect(
        page.get_by_role("group", name="Captions and answers").get_by_role("radio")
    ).to_have_count(3)
    own = Captioner.load(answering_checkpoint, "cpu")
    for fill, temperature in ((None, 1.0), ("0.5", 0.5)):
        with page.expect_response("**/api/caption") as answered:
            if fill is None:
                page.get_by_label("Draw at random").check()
            else:
                page.get_by_label("Temperature").fill(fill)
                page.get_by_label("Temperature").blur()
        drawn = replace(own.decoding, num_captions=3, sample=True, temperature=temperature)
        said = [one["text"] for one in answered.value.json()["captions"]]
        assert said == [one.text for one in own.caption(photo, decoding=drawn)]


def test_what_is_no_picture_is_told_and_the_next_one_works(
    visit: Visit, address: str, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:300])
    page = visit.open(address)
    page.set_input_files("#file", broken)
    expect(page.get_by_role("alert")).to_contain_text("damaged or incomplete")
    expect(page.locator("#result")).to_be_hidden()
    check_accessibility(page)
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    expect(page.get_by_role("alert")).to_be_hidden()
    page.get_by_label("Ask about the picture").fill("quis est?")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "no word of the question 'quis est?' is known"
    )
    # Chromium itself notes answers of 400 in the console; nothing else may be there.
    assert len(visit.complaints) == 2
    assert all("status of 400" in line for line in visit.complaints)
    visit.complaints.clear()


def test_too_large_a_picture_is_not_even_sent(visit: Visit, address: str, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(17 * 2**20))
    page = visit.open(address)
    page.set_input_files("#file", tmp_path / "large.png")
    expect(page.get_by_role("alert")).to_contain_text("larger than 16 MiB")
    assert not any("caption" in url for url in visit.asked if "/api/" in url)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_can_be_dropped_and_pasted(
    visit: Visit, address: str, photo: Path, event: str
) -> None:
    page = visit.open(address)
    page.evaluate(
        """([event, bytes]) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
          const options = { bubbles: true, cancelable: true };
          document.body.dispatchEvent(event === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: data })
            : new ClipboardEvent("paste", { ...options, clipboardData: data }));
        }""",
        [event, list(photo.read_bytes())],
    )
    expect(page.get_by_role("status")).to_contain_text("It says")


def test_a_checkpoint_without_answers_is_asked_no_question(
    visit: Visit, tiny_checkpoint: Path, serve_app: Callable[[Any], str], photo: Path
) -> None:
    page = visit.open(serve_app(create_app(Captioner.load(tiny_checkpoint, "cpu"))))
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    expect(page.get_by_label("Ask about the picture")).to_be_hidden()


@pytest.mark.parametrize("screen", SCREENS[:2], ids=str)
def test_the_description_of_the_api(visit: Visit, address: str, screen: dict[str, Any]) -> None:
    page = visit.open(address + "/docs", **screen)
    expect(page.get_by_role("heading", name="POST /api/caption")).to_be_visible()
    check_accessibility(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= screen["viewport"]["width"]
    assert {url for url in visit.asked if not url.startswith("data:")} == {
        address + "/docs", address + "/explorer.css", address + "/page.css"
    }  # fmt: skip
    assert json.loads(page.request.get(address + "/openapi.json").text())["openapi"]
