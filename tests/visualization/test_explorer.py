"""The explorer file: its content, and that names and words cannot become markup."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from captioner import Captioner
from captioner.decoding.alternatives import find_alternatives
from captioner.decoding.outputs import Answer, AnswerChoice, Caption, Word
from captioner.visualization.explorer import (
    answer_record,
    asset,
    caption_record,
    caption_records,
    picture_record,
    save_explorer,
    write_explorer,
)
from captioner.visualization.preview import PICTURE_PIXELS, data_uri

HOSTILE = """</script><script>bad()</script><img src=x onerror=bad()>"'&<!--"""


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(4)
    return [
        Image.fromarray((noise.random((50, 70, 3)) * bright).astype(np.uint8))
        for bright in (255, 90, 180)
    ]


def data_of(page: str) -> list[dict]:
    [content] = re.findall(r'type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(content)


def test_alternatives_and_the_word_share_one_distribution(
    model: Captioner, pictures: list[Image.Image]
) -> None:
    """With the word's probability from the search, bans included, they sum to 1."""
    decoding = replace(model.decoding, num_captions=3, beam_size=4, block_ngrams=2)
    features = model.encode(pictures)
    groups = model.caption(pictures, decoding=decoding)
    captions = [caption for group in groups for caption in group]
    rows = [row for row, group in enumerate(groups) for _ in group]
    alternatives = find_alternatives(model.runtime, features, captions, rows, decoding, count=1000)
    banned = 0
    for caption, others in zip(captions, alternatives, strict=True):
        assert len(others) == len(caption.words)
        for word, rest in zip(caption.words, others, strict=True):
            assert word.word not in [other.word for other in rest]
            shares = [other.probability for other in rest]
            assert shares == sorted(shares, reverse=True)
            assert sum(shares) + word.probability == pytest.approx(1, abs=1e-4)
            banned += len(rest) < 10  # 10 words and the end, less the word itself
        assert "<end>" not in [other.word for other in others[0]]
        assert not {"<padding>", "<start>", "<unknown>"} & {o.word for r in others for o in r}
    assert banned > len(captions)  # at least the first word of each, where the end is banned


def test_only_the_most_probable_alternatives_are_returned(
    model: Captioner, pictures: list[Image.Image]
) -> None:
    [caption] = model.caption(pictures[:1])
    features = model.encode(pictures[:1])
    everything, three = (
        find_alternatives(model.runtime, features, [caption], [0], model.decoding, count=count)[0]
        for count in (1000, 3)
    )
    assert three == tuple(others[:3] for others in everything)


def test_batched_records_equal_those_of_single_pictures(
    model: Captioner, pictures: list[Image.Image]
) -> None:
    together = caption_records(model, model.encode(pictures), model.decoding)
    texts = [model.caption(picture).text for picture in pictures]
    assert [group[0]["text"] for group in together] == texts
    for group, picture in zip(together, pictures, strict=True):
        [[alone]] = caption_records(model, model.encode([picture]), model.decoding)
        for word, single in zip(group[0]["words"], alone["words"], strict=True):
            assert word["runners_up"][0]["word"] == single["runners_up"][0]["word"]


def test_caption_record() -> None:
    maps = np.array([[[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.25, 0.25]]])
    caption = Caption("a dog", (Word("a", 0.5), Word("dog", 0.123456789)), -2.5, maps)
    others = ((Word("the", 0.4),), ())
    assert caption_record(caption, others) == {
        "text": "a dog",
        "log_probability": -2.5,
        "confidence": 0.31173,
        "words": [
            {
                "word": "a",
                "probability": 0.5,
                "looked": "lower right",
                "runners_up": [{"word": "the", "probability": 0.4}],
            },
            {
                "word": "dog",
                "probability": 0.12346,
                "looked": "everywhere alike",
                "runners_up": [],
            },
        ],
        "attention": maps.tolist(),
    }
    shorter = caption_record(caption, None, attention=False)
    assert shorter["attention"] is None
    assert [word["runners_up"] for word in shorter["words"]] == [None, None]


def test_answer_record() -> None:
    maps = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    choices = (AnswerChoice("red", 0.75), AnswerChoice("no", 0.25))
    assert answer_record("what color?", Answer("red", 0.75, choices, maps)) == {
        "question": "what color?",
        "text": "red",
        "probability": 0.75,
        "top": [{"text": "red", "probability": 0.75}, {"text": "no", "probability": 0.25}],
        "looked": ["middle left", "middle right"],
        "attention": maps.tolist(),
    }


def test_pictures_are_only_scaled_down() -> None:
    for size, expected in (((1600, 400), (PICTURE_PIXELS, 200)), ((31, 17), (31, 17))):
        _, _, content = data_uri(Image.new("RGB", size)).partition("base64,")
        with Image.open(io.BytesIO(base64.b64decode(content))) as shown:
            assert (shown.format, shown.size) == ("JPEG", expected)


@pytest.fixture
def hostile() -> dict:
    maps = np.full((1, 2, 2), 0.25)
    caption = Caption(HOSTILE, (Word(HOSTILE, 0.5),), -1.0, maps)
    answer = Answer(HOSTILE, 0.5, (AnswerChoice(HOSTILE, 0.5),), maps)
    return picture_record(
        HOSTILE,
        Image.new("RGB", (20, 10)),
        [caption_record(caption, ((Word(HOSTILE, 0.1),),))],
        [answer_record(HOSTILE, answer)],
    )


def test_names_and_words_cannot_become_markup(hostile: dict) -> None:
    page = write_explorer([hostile])
    assert HOSTILE not in page
    assert page.count("<script") == page.count("</script>") == 3
    assert page.count("<img") == 1
    assert "<!--" not in page
    [shown] = data_of(page)
    assert shown["name"] == HOSTILE
    assert shown["captions"] == hostile["captions"]


def test_policy_allows_only_the_scripts_of_the_page(hostile: dict) -> None:
    page = write_explorer([hostile])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    names = {"script": ("heat_map.js", "explorer.js"), "style": ("style.css", "explorer.css")}
    for kind, files in names.items():
        contents = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        assert contents == [asset("captioner.visualization", name) for name in files]
        digests = [hashlib.sha256(content.encode()).digest() for content in contents]
        expected = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
        assert allowed[f"{kind}-src"].split() == expected
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"


def test_page_loads_nothing_from_elsewhere_and_is_small() -> None:
    """Eight pictures with five captions of 12 words each, on the grid of the bundled model, take
    less than 400 KB besides the pictures."""
    maps = np.random.default_rng(0).dirichlet(np.full(64, 0.3), 12).reshape(12, 8, 8)
    words = tuple(Word(f"word{number}", 0.123456) for number in range(12))
    caption = caption_record(Caption("said", words, -9.87654, maps), tuple([words[:4]] * 12))
    record = picture_record("picture.jpg", Image.new("RGB", (20, 10)), [caption] * 5, [])
    page = write_explorer([record] * 8)
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(", page)
    assert len(page.encode()) - 8 * len(record["picture"]) < 400_000


def test_names_that_are_not_unicode_can_be_saved(hostile: dict, tmp_path: Path) -> None:
    file = tmp_path / "explorer.html"
    save_explorer([hostile | {"name": "caf\udce9.jpg"}], file)
    assert "caf?.jpg" in file.read_text(encoding="utf-8")


def test_character_models_have_no_alternatives(
    model: Captioner, pictures: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from captioner.data.vocabulary import CharacterVocabulary

    monkeypatch.setattr(model.runtime, "vocabulary", CharacterVocabulary(["a", " "]))
    caption = Caption("aa a", (Word("aa", 0.5), Word("a", 0.5)), -1.0, np.ones((2, 1, 1)))
    assert find_alternatives(model.runtime, torch.empty(0), [caption], [0], model.decoding) == [
        ((), ())
    ]
