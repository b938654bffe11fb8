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
    expect(page.locator(".spoken")).to_contain_text(said.words[-1].word)
    assert page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()") != before

    question = "what color is this?"
    answer = own.answer(photo, question)
    page.get_by_label("Ask about this picture").fill(question)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"{question} {answer.text}")
    expect(page.locator(".question")).to_have_text(question)
    expect(page.locator(".answer")).to_have_text(answer.text)
    expect(page.get_by_label("Ask about this picture")).to_be_focused()
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
    expect(page.get_by_label("Captions per picture")).to_be_hidden()
    page.get_by_text("Options").click()
    with page.expect_response("**/api/caption") as answered:
        page.get_by_label("Captions per picture").fill("3")
        page.get_by_label("Captions per picture").blur()
    assert len(answered.value.json()["captions"]) == 3
    expect(
        page.get_by_role("group", name="Captions and answers").get_by_role("radio")
    ).to_have_count(3)
    own = Captioner.load(tiny_checkpoint, "cpu")
    for fill, temperature in ((None, 1.0), ("0.5", 0.5)):
        with page.expect_response("**/api/caption") as answered:
            if fill is None:
                page.get_by_label("Draw the words at random").check()
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
    page.get_by_label("Ask about this picture").fill("quis est?")
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


def test_a_sample_is_captioned_by_a_click(
    visit: Visit, address: str, tiny_checkpoint: Path
) -> None:
    page = visit.open(address)
    samples = page.locator("#samples").get_by_role("button")
    expect(samples).to_have_count(5)
    samples.get_by_alt_text("a man with a camera on a tripod").click()
    own = Captioner.load(tiny_checkpoint, "cpu")
    said = own.caption(Path(__file__).parents[2] / "data" / "samples" / "camera.jpg")
    expect(page.get_by_role("status")).to_have_text(f"It says: {said.text}")
    expect(page.locator(".name")).to_have_text("camera.jpg")


def test_several_pictures_at_once_and_the_broken_one_is_named(
    visit: Visit, address: str, photo: Path, tmp_path: Path
) -> None:
    files = [tmp_path / f"{colour}.png" for colour in ("red", "blue", "green")]
    for file in files:
        Image.new("RGB", (60, 40), file.stem).save(file)
    files[1].write_bytes(b"no picture")
    page = visit.open(address)
    page.set_input_files("#file", files)
    expect(page.get_by_role("alert")).to_contain_text("blue.png: ")
    gallery = page.get_by_role("group", name="Pictures").get_by_role("button")
    expect(gallery).to_have_count(2)
    expect(page.locator(".name")).to_have_text("red.png")
    gallery.nth(1).click()
    expect(page.locator(".name")).to_have_text("green.png")
    page.get_by_label("Ask about this picture").fill("is this red?")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_be_visible()
    gallery.nth(0).click()  # which nothing was asked about
    expect(page.locator(".question")).to_have_count(0)
    page.set_input_files("#file", photo)
    expect(page.locator(".name")).to_have_text(photo.name)
    expect(gallery).to_have_count(3)
    page.set_input_files("#file", [photo] * 51)
    expect(page.get_by_role("alert")).to_contain_text("choose up to 50")
    visit.complaints.clear()  # Chromium notes the answer of 400


def test_a_picture_of_which_the_page_has_the_address(
    visit: Visit,
    tiny_checkpoint: Path,
    serve_app: Callable[[Any], str],
    address: str,
    photo: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expect(visit.open(address).get_by_label("address of a picture")).to_be_hidden()
    asked = []

    def fetch(url: str, *, public_only: bool, **limits: Any) -> bytes:
        asked.append((url, public_only))
        return photo.read_bytes()

    monkeypatch.setattr("captioner.serve.fetching.fetch", fetch)
    model = Captioner.load(tiny_checkpoint, "cpu")
    page = visit.open(serve_app(create_app(model, fetches=True)))
    page.get_by_label("address of a picture").fill("https://pictures.example/a.png")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(f"It says: {model.caption(photo).text}")
    expect(page.locator(".name")).to_have_text("https://pictures.example/a.png")
    assert asked == [("https://pictures.example/a.png", True)]


def test_a_phone_offers_its_camera_and_keeps_the_picture_in_view(
    visit: Visit, address: str, photo: Path
) -> None:
    expect(visit.open(address).get_by_text("Take a photo")).to_be_hidden()
    page = visit.open(
        address, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    expect(page.get_by_text("Take a photo")).to_be_visible()
    assert page.locator("#camera").get_attribute("capture") == "environment"
    page.set_input_files("#camera", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    page.locator(".views").scroll_into_view_if_needed()
    page.evaluate("window.scrollBy(0, 150)")
    box = page.locator(".stage").bounding_box()
    assert 0 <= box["y"] < 20 and box["height"] < 844 / 2
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_checkpoint_without_answers_is_asked_no_question(
    visit: Visit, captions_checkpoint: Path, serve_app: Callable[[Any], str], photo: Path
) -> None:
    page = visit.open(serve_app(create_app(Captioner.load(captions_checkpoint, "cpu"))))
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_contain_text("It says")
    expect(page.get_by_label("Ask about this picture")).to_be_hidden()


def test_a_checkpoint_that_only_answers_is_asked_at_once(
    visit: Visit,
    tiny_checkpoint: Path,
    serve_app: Callable[[Any], str],
    photo: Path,
) -> None:
    model = Captioner.load(tiny_checkpoint, "cpu")
    model.model.decoder = model.runtime.vocabulary = None
    page = visit.open(serve_app(create_app(model)))
    expect(page.get_by_label("Ask about this picture")).to_be_hidden()
    page.set_input_files("#file", photo)
    expect(page.get_by_role("status")).to_have_text("Ask about the picture.")
    expect(page.locator(".stage img")).to_be_visible()
    page.get_by_label("Ask about this picture").fill("is this red?")
    page.keyboard.press("Enter")
    expect(page.locator(".answer")).to_have_text(model.answer(photo, "is this red?").text)
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
