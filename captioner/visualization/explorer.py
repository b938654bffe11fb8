"""The explorer: one self-contained HTML file that shows where the model looked for every word."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from itertools import repeat
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.decoding.alternatives import Alternatives, find_alternatives
from captioner.decoding.outputs import Answer, Caption, Word
from captioner.decoding.runtime import Features
from captioner.files import asset, atomic_write
from captioner.visualization.attention_maps import where
from captioner.visualization.content_policy import content_policy
from captioner.visualization.preview import data_uri

Record = dict[str, Any]  # written as a JSON object


def caption_records(
    model: Captioner,
    features: Features,
    decoding: DecodingConfig,
    *,
    attention: bool = True,
    runners_up: bool = True,
) -> list[list[Record]]:
    """Caption pictures by their features (B, N, D): a list of records per picture, best first.

    attention, runners_up: whether the records have them; the latter take another pass of the
    decoder.
    """
    groups = model.caption_features(features, decoding)
    others: Iterator[Alternatives | None] = repeat(None)
    if runners_up:
        captions = [caption for group in groups for caption in group]
        rows = [row for row, group in enumerate(groups) for _ in group]
        others = iter(find_alternatives(model.runtime, features, captions, rows, decoding))
    return [
        [caption_record(caption, next(others), attention=attention) for caption in group]
        for group in groups
    ]


def caption_record(
    caption: Caption, others: Alternatives | None, *, attention: bool = True
) -> Record:
    """A caption as a record, for the page and the web API.

    {"text", "log_probability", "confidence", "words": [{"word", "probability", "looked",
    "runners_up": [{"word", "probability"}]}], "attention": T maps of rows of columns}. Without
    others "runners_up" is None, and without attention "attention".
    """
    words = [
        _word_record(word) | {"looked": where(cells), "runners_up": None}
        for word, cells in zip(caption.words, caption.attention, strict=True)
    ]
    if others is not None:
        for record, alternatives in zip(words, others, strict=True):
            record["runners_up"] = [_word_record(other) for other in alternatives]
    return {
        "text": caption.text,
        "log_probability": _rounded(caption.log_probability),
        "confidence": _rounded(caption.confidence),
        "words": words,
        "attention": _maps(caption.attention) if attention else None,
    }


def answer_record(question: str, answer: Answer) -> Record:
    """An answer as a record, for the page and the web API.

    {"question", "text", "probability", "top": [{"text", "probability"}], "looked": one per look,
    "attention": a map per look}.
    """
    return {
        "question": question,
        "text": answer.text,
        "probability": _rounded(answer.probability),
        "top": [
            {"text": choice.text, "probability": _rounded(choice.probability)}
            for choice in answer.top
        ],
        "looked": [where(cells) for cells in answer.attention],
        "attention": _maps(answer.attention),
    }


def picture_record(
    name: str, picture: Image.Image, captions: list[Record], answers: list[Record]
) -> Record:
    """A picture with its captions and answers: {"name", "picture", "captions", "answers"}."""
    return {
        "name": name,
        "picture": data_uri(picture),
        "captions": captions,
        "answers": answers,
    }


def write_explorer(pictures: Sequence[Record]) -> str:
    """Make the HTML page of these picture records; it loads nothing from elsewhere.

    Its content security policy allows no script except its own. Without scripts, as in the preview
    of an e-mail, it shows the pictures with their captions and answers.
    """
    names = ("style.css", "explorer.css", "heat_map.js", "explorer.js", "explorer.html")
    style, layout, heat_map, explorer, page = (
        asset("captioner.visualization", name) for name in names
    )
    data = [{key: picture[key] for key in picture if key != "picture"} for picture in pictures]
    return Template(page).substitute(
        policy=content_policy([style, layout], [heat_map, explorer]),
        style=style,
        layout=layout,
        heat_map=heat_map,
        explorer=explorer,
        figures="\n".join(_figure(picture) for picture in pictures),
        # Inside a script element, "<" could start an end tag or a comment.
        data=json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c"),
    )


def save_explorer(pictures: Sequence[Record], file: Path) -> None:
    """Write the page to a file; raises CaptionerError if it cannot be written."""
    # A file name that is not UTF-8 has lone surrogates, which cannot be encoded.
    page = write_explorer(pictures).encode("utf-8", errors="replace")
    atomic_write(file, lambda partial: partial.write_bytes(page))


def _figure(picture: Record) -> str:
    texts = [caption["text"] for caption in picture["captions"]]
    texts += [f"{answer['question']} {answer['text']}" for answer in picture["answers"]]
    lines = "".join(f"<p>{escape(text)}</p>" for text in texts)
    alternative = escape(texts[0] if texts else "")
    return (
        f'<figure><img src="{escape(picture["picture"])}" alt="{alternative}">'
        f"<figcaption><b>{escape(picture['name'])}</b>{lines}</figcaption></figure>"
    )


def _word_record(word: Word) -> Record:
    return {"word": word.word, "probability": _rounded(word.probability)}


def _maps(attention: NDArray[np.floating]) -> list[list[list[float]]]:
    # Enough decimals for three digits of a uniform map's weights: 4 for 8 x 8 cells.
    decimals = len(str(attention[0].size)) + 2 if len(attention) else 0
    return [[[round(float(w), decimals) for w in row] for row in cells] for cells in attention]


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
