"""The served page in a real browser: from an upload to a download."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsing import SCREENS, Visit, check_accessibility, word
from PIL import Image
from playwright.sync_api import (
    expect,
)

from captioner import Captioner
from captioner.serve.app import create_app


@pytest.fixture(scope="module")
def address(tiny_checkpoint: Path, serve_app: Callable[[Any], str]) -> str:
    return serve_app(create_app(Captioner.load(tiny_checkpoint, "cpu")))


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("photo") / "<b>photo.png"
    noise = np.random.default_rng(8).random((120, 200, 3)) * (255, 90, 40)
    Image.fromarray(noise.astype(np.uint8)).save(file)
    return file


@pytest.mark.parametrize("screen", SCREENS[:1] + SCREENS[3:], ids=str)
def test_from_upload_to_caption_to_question_to_download(
    visit: Visit, address: str, photo: Path, tiny_checkpoint: Path, screen: dict[str, Any]
) -> None:
    page = visit.open(address, accept_downloads=True, **screen)
    check_accessibility(page)
    page.set_input_files("#file", photo)
    own = Captioner.load(tiny_checkpoint, "cpu")
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
    expect(words.first).to_contain_text("look")
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
    expect(word(kept, "1st look").or_(word(kept, "look"))).to_be_visible()
    assert all(re.match(rf"{address}/|file:|data:|blob:", url) for url in visit.asked)


def test_settings_caption_again(
    visit: Visit, address: str, photo: Path, tiny_checkpoint: Path
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
    own = Captioner.load(tiny_checkpoint, "cpu")
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
    visit: Visit, captions_checkpoint: Path, serve_app: Callable[[Any], str], photo: Path
) -> None:
    page = visit.open(serve_app(create_app(Captioner.load(captions_checkpoint, "cpu"))))
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    expect(page.get_by_label("Ask about the picture")).to_be_hidden()


def test_a_checkpoint_that_only_answers_is_asked_at_once(
    visit: Visit,
    tiny_checkpoint: Path,
    serve_app: Callable[[Any], str],
    photo: Path,
) -> None:
    model = Captioner.load(tiny_checkpoint, "cpu")
    model.model.decoder = model.model.vocabulary = None
    page = visit.open(serve_app(create_app(model)))
    expect(page.get_by_label("Ask about the picture")).to_be_hidden()
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_have_text("Ask about the picture.")
    expect(page.locator(".stage img")).to_be_visible()
    page.get_by_label("Ask about the picture").fill("is this red?")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_contain_text(model.answer(photo, "is this red?").text)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    assert "is this red?" in Path(downloading.value.path()).read_text()


def test_the_description_of_the_api_loads_nothing_from_elsewhere(
    visit: Visit, address: str
) -> None:
    page = visit.open(address)
    page.get_by_role("link", name="The JSON API").click()
    page.get_by_role("button", name="Caption a picture").click()
    expect(page.get_by_text("num_captions").first).to_be_visible()
    assert all(url.startswith((address + "/", "data:")) for url in visit.asked)
