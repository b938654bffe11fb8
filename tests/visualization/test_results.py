"""Results on their pictures: files, notebooks and viewers, from what a Captioner returned."""

import base64
import io
import pickle
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageShow

from captioner import Answer, Caption, Captioner, CaptionerError, Word
from captioner.config.settings import DecodingConfig
from captioner.visualization.results import result_html

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
QUESTION = "what color is the dog?"


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with Image.open(SAMPLES / "coffee.jpg") as picture:
        picture.save(tmp_path / "coffee.jpg")
    return tmp_path / "coffee.jpg"


class Images(HTMLParser):
    """The sources of the images of some HTML, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def opened(self) -> list[Image.Image]:
        contents = [base64.b64decode(source.partition(",")[2]) for source in self.sources]
        return [Image.open(io.BytesIO(content)) for content in contents]


def test_a_result_is_saved_as_the_ending_says(model: Captioner, file: Path) -> None:
    for result in (model.caption(file), model.answer(file, QUESTION)):
        for name in ("maps.png", "maps.gif", "maps.HTML", "maps.npz"):
            result.save(file.with_name(name))
        with Image.open(file.with_name("maps.png")) as panel:
            assert panel.format == "PNG"
        with Image.open(file.with_name("maps.gif")) as played:
            assert played.n_frames == len(result.attention)
        assert f"{result.text}</p>" in file.with_name("maps.HTML").read_text()
        with np.load(file.with_name("maps.npz")) as arrays:
            np.testing.assert_array_equal(arrays["weights"], result.attention)
        with pytest.raises(CaptionerError, match=r"maps\.bmp: unknown kind of output; expected"):
            result.save(str(file.with_name("maps.bmp")))


@pytest.mark.parametrize("form", [str, Path.read_bytes, Image.open, lambda p: p.open("rb")])
def test_one_picture_in_any_form_can_be_drawn_on_later(
    model: Captioner, file: Path, form: object
) -> None:
    given = form(file)  # type: ignore[operator]
    caption = model.caption(given)
    group = model.caption(given, num_captions=2, beam_size=2)
    answer = model.answer(given, QUESTION)
    if hasattr(given, "close"):
        given.close()
    for result in (caption, *group, answer):
        shown = Images(result._repr_html_() or "").opened()
        assert (shown[0].format, shown[0].size) == ("JPEG", (400, 267))


def test_of_a_batch_only_paths_are_kept(model: Captioner, file: Path) -> None:
    content = file.read_bytes()
    by_path, by_content = model.caption([file, content])
    asked = model.answer([file, content], QUESTION)
    assert by_path.text == by_content.text
    assert by_path._repr_html_() and asked[0]._repr_html_()
    for result in (by_content, asked[1]):
        assert len(pickle.dumps(result)) < len(content) / 4
        assert result._repr_html_() is None
        with pytest.raises(CaptionerError, match="was not kept.*give paths, or one picture"):
            result.save(file.with_name("maps.png"))
        result.save(file.with_name("maps.npz"))  # arrays need no picture
    [(_, [each])] = model.caption_each([file], decoding=DecodingConfig(), batch_size=1)
    assert each._repr_html_()


def test_a_picture_that_is_gone_is_named_and_a_notebook_shows_the_text(
    model: Captioner, file: Path
) -> None:
    caption = model.caption(file)
    file.unlink()
    assert caption._repr_html_() is None
    with pytest.raises(CaptionerError, match=r"no such file: .*coffee\.jpg"):
        caption.save(file.with_name("maps.png"))


def test_a_notebook_shows_the_picture_and_a_map_for_each_word(model: Captioner, file: Path) -> None:
    maps = np.zeros((2, 2, 3), np.float32)
    maps[0, 0, 2] = maps[1, 1, 0] = 1
    caption = Caption("a <cup>", (Word("a", 0.5), Word("<cup>", 0.25)), -1.0, maps)
    html = result_html(caption, Image.open(file).convert("RGB"))
    page = Images(html)
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "script" not in page.tags and "cup" not in page.tags
    assert "url(" not in html and "@import" not in html
    picture, *layers = page.opened()
    assert [layer.size for layer in layers] == [(3, 2)] * 2  # a pixel per cell
    brightness = [np.asarray(layer.convert("L")) for layer in layers]
    assert [int(bright.argmax()) for bright in brightness] == [2, 3]
    titles = re.findall('title="(.*?)"', html)
    assert titles == ["50 %, looked at the upper right", "25 %, looked at the lower left"]


@pytest.mark.parametrize(("words", "cells"), [(12, 8), (60, 8), (200, 40)])
def test_what_a_notebook_shows_is_small(words: int, cells: int) -> None:
    random = np.random.default_rng(3)
    maps = random.random((words, cells, cells), dtype=np.float32)
    caption = Caption("a", (Word("a", 0.5),) * words, -1.0, maps)
    noise = Image.fromarray(random.integers(0, 255, (600, 900, 3), dtype=np.uint8))
    html = result_html(caption, noise)
    assert len(html.encode()) < 60_000
    assert Images(html).opened()[0].size[0] >= 100
    answer = Answer("yes", 0.5, (), maps[:2], "is it?")
    assert "is it? <b>yes</b>" in result_html(answer, noise)


def test_the_viewer_of_the_system_gets_the_panel(
    model: Captioner, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(ImageShow, "show", lambda image: shown.append(image.size) or True)
    caption = model.caption(file)
    caption.show()
    caption.save(file.with_name("maps.png"))
    with Image.open(file.with_name("maps.png")) as panel:
        assert shown == [panel.size]
    monkeypatch.setattr(ImageShow, "show", lambda image: False)
    with pytest.raises(CaptionerError, match="no viewer of pictures"):
        caption.show()
    if sys.platform == "linux":  # without a screen, no viewer is tried
        monkeypatch.delenv("DISPLAY")
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        monkeypatch.setattr(ImageShow, "show", lambda image: True)
        with pytest.raises(CaptionerError, match="no viewer of pictures"):
            caption.show()


def test_in_a_notebook_show_displays_what_the_notebook_would(
    model: Captioner, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    parts = SimpleNamespace(HTML=str, display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", parts)
    caption = model.caption(file)
    caption.show()
    assert shown == [caption._repr_html_()]


def test_captioning_draws_nothing_yet(tiny_checkpoint: Path, file: Path) -> None:
    script = (
        "import sys; from captioner import Captioner\n"
        "caption = Captioner.load(sys.argv[1]).caption(open(sys.argv[2], 'rb'))\n"
        "assert not {'captioner.visualization', 'matplotlib'} & set(sys.modules)\n"
        "assert caption._repr_html_()"
    )
    command = [sys.executable, "-c", script, str(tiny_checkpoint), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
