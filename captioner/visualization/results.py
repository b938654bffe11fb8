"""A Caption or an Answer on its picture: as a file, on the screen, or in a notebook."""

import base64
import io
import os
import sys
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageShow

from captioner.decoding.outputs import Answer, Caption
from captioner.errors import CaptionerError
from captioner.files import asset
from captioner.visualization import attention_maps, explorer, panels
from captioner.visualization.preview import data_uri

MAX_HTML = 55_000  # characters
PICTURE_SIDES = (400, 300, 200, 100)  # the largest that MAX_HTML has room for
MAX_MAPS, MAP_CELLS = 30, 14  # of a sentence, and a side: with more, no room for the picture

_SCREENS = {"DISPLAY", "WAYLAND_DISPLAY"}  # one of them is set where Linux has a screen


def save_result(
    result: Caption | Answer,
    picture: Callable[[], Image.Image],
    file: Path,
    *,
    name: str = "",
) -> None:
    """Write the attention maps as .png, .gif, .html (the explorer) or .npz (without the picture).

    Raises CaptionerError for another ending and a file that cannot be written.
    """
    maps = result.attention
    match file.suffix.lower():
        case ".png":
            _save_panel(result, picture(), file)
        case ".gif":
            heading = "" if isinstance(result, Caption) else _heading(result)
            panels.save_animation(picture(), _steps(result), maps, file, heading=heading)
        case ".npz":
            attention_maps.save_arrays(_array_words(result), maps, file)
        case ".html":
            captions, answers = [], []
            if isinstance(result, Caption):
                captions.append(explorer.caption_record(result, tuple(() for _ in maps)))
            else:
                answers.append(explorer.answer_record(result.question, result))
            record = explorer.picture_record(name, picture(), captions, answers)
            explorer.save_explorer([record], file)
        case _:
            raise CaptionerError(
                f"{file}: unknown kind of output; expected .html, .png, .gif or .npz"
            )


def show_result(result: Caption | Answer, picture: Image.Image) -> None:
    """Display the result in the notebook, or its panel of maps with the viewer of the system.

    Raises CaptionerError where there is neither.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if hasattr(shell, "kernel"):  # a terminal's IPython has none
        from IPython.display import HTML, display

        display(HTML(result_html(result, picture)))
        return
    with tempfile.TemporaryDirectory() as folder:
        panel = Path(folder) / "maps.png"
        _save_panel(result, picture, panel)
        with Image.open(panel) as drawn:
            # Without a screen the viewers that Pillow tries would only complain.
            on_screen = sys.platform != "linux" or _SCREENS & os.environ.keys()
            if not (on_screen and ImageShow.show(drawn)):
                raise CaptionerError('no viewer of pictures is here; use .save("maps.png")')


def result_html(result: Caption | Answer, picture: Image.Image) -> str:
    """HTML of at most 60 KB: the picture and its sentence, and a map for each word under the mouse.

    It has no script, so that notebooks show it even where they trust none.
    """
    if isinstance(result, Caption):
        before = ""
        sure = [word.probability for word in result.words]
    else:
        before = f"{escape(result.question)} <b>{escape(result.text)}</b> "
        sure = [result.probability] * len(result.attention)
    ratio = f"{picture.width}/{picture.height}"
    across = min(1, picture.width / picture.height)  # a tall picture is as high as others are wide
    words = " ".join(
        f'<span class="captioner-word" tabindex="0" style="--sure:{probability:.3g}" title="'
        f'{100 * probability:.0f} %, looked {_place(cells)}">{escape(word)}{_layer(cells, ratio)}'
        "</span>"
        if number < MAX_MAPS
        else escape(word)
        for number, (word, probability, cells) in enumerate(
            zip(_steps(result), sure, result.attention, strict=True)
        )
    )
    style = asset("captioner.visualization", "result.css")
    sentence = f'<p class="captioner-sentence">{before}{words}</p>'
    room = MAX_HTML - len(style) - len(sentence)
    return (
        f'<div class="captioner-result" style="--across:{across:.4f}"><style>{style}</style>'
        f'<img src="{_small(picture, room)}" alt="{escape(result.text)}" '
        f'style="aspect-ratio:{ratio}">{sentence}</div>'
    )


def _save_panel(result: Caption | Answer, picture: Image.Image, file: Path) -> None:
    labels = _steps(result)
    if isinstance(result, Caption):
        labels = [f"{word.word}  {percent(word.probability)}" for word in result.words]
    panels.save_panel(picture, labels, result.attention, file, heading=_heading(result))


def _heading(result: Caption | Answer) -> str:
    if isinstance(result, Caption):
        return result.text
    return f"{result.question} {result.text} ({percent(result.probability)})"


def percent(probability: float) -> str:
    """A probability as the pages write it, such as "86 %" or "0.3 %"."""
    share = 100 * probability
    if share >= 9.95 or share == 0:
        return f"{share:.0f} %"
    return f"{share:.1f} %" if share >= 0.095 else "< 0.1 %"


def _steps(result: Caption | Answer) -> list[str]:
    """What each map belongs to: a word of the caption or a look of the answer."""
    if isinstance(result, Caption):
        return [word.word for word in result.words]
    looks = len(result.attention)
    endings = {1: "st", 2: "nd", 3: "rd"}
    return [f"{n}{endings.get(n, 'th')} look" if looks > 1 else "look" for n in range(1, looks + 1)]


def _array_words(result: Caption | Answer) -> list[str]:
    """The same in arrays, where looks have kept the name that programs know."""
    if isinstance(result, Caption):
        return _steps(result)
    return [f"glimpse {number}" for number in range(1, len(result.attention) + 1)]


def _place(cells: NDArray[np.floating]) -> str:
    place = attention_maps.where(cells)
    return place if place == "everywhere alike" else f"at the {place}"


def _layer(cells: NDArray[np.floating], ratio: str) -> str:
    """The map as an image of a pixel per cell, which the browser makes as large as the picture."""
    rows, columns = cells.shape
    layer = attention_maps.layer(cells, (min(columns, MAP_CELLS), min(rows, MAP_CELLS)))
    with io.BytesIO() as content:
        layer.save(content, "PNG", optimize=True)
        data = base64.b64encode(content.getvalue()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="" style="aspect-ratio:{ratio}">'


def _small(picture: Image.Image, room: int) -> str:
    """The picture as a data: address, as large as so many characters allow."""
    for side in PICTURE_SIDES:
        small = picture.copy()
        small.thumbnail((side, side))
        address = data_uri(small)
        if len(address) <= room:
            break
    return address
