"""Attention maps as one picture with a map for each word, and as an animation."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from captioner.files import atomic_write
from captioner.visualization.attention_maps import check_maps, overlay

PANEL_COLUMNS = 5
CELL_WIDTH, CELL_HEIGHT, MIN_CELL_WIDTH = 300, 400, 150  # pixels; of the picture in a cell
GAP_PIXELS = 10

FRAME_MILLISECONDS = 900
FRAME_PIXELS, MIN_FRAME_WIDTH = 480, 240  # the longer side, and room for words

FONT_PIXELS, MIN_FONT_PIXELS, LINE_PIXELS, MARGIN_PIXELS = 20, 8, 28, 10
HEADING_PIXELS = 26  # of the font above a panel
READ, UNREAD, BACKGROUND = (0, 0, 0), (110, 110, 110), (255, 255, 255)

Position = tuple[str, float, float]  # a text and its upper left corner


def save_panel(
    picture: Image.Image,
    labels: Sequence[str],
    weights: NDArray[np.floating],
    file: Path,
    *,
    heading: str = "",
) -> None:
    """Write a PNG with the picture, followed by its overlay for each word, all under a heading.

    labels: what stands above each map, such as "dog 91 %"; weights: (T, rows, columns), one map
    per label. Nothing is cut off: a long heading takes several lines, a long label a smaller font.
    Raises CaptionerError if labels and weights do not match or the file cannot be written.
    """
    maps = check_maps(weights, labels)
    small = _fit(picture, CELL_WIDTH, CELL_HEIGHT)
    cells = [("", small)]
    cells += [(label, overlay(small, each)) for label, each in zip(labels, maps, strict=True)]
    panel = _draw_panel(cells, heading)
    atomic_write(file, lambda partial: panel.save(partial, format="PNG"))


def _draw_panel(cells: Sequence[tuple[str, Image.Image]], heading: str) -> Image.Image:
    """Labelled pictures of one size in rows below a heading."""
    picture = cells[0][1]
    smallest = _font(MIN_FONT_PIXELS)
    needed = max(math.ceil(smallest.getlength(label)) for label, _ in cells)
    width = max(picture.width, MIN_CELL_WIDTH, needed) + GAP_PIXELS
    height = LINE_PIXELS + picture.height + GAP_PIXELS
    columns = min(PANEL_COLUMNS, len(cells))
    large = _font(HEADING_PIXELS)
    heading_lines, heading_height = _lay_out(heading.split(), large, columns * width)
    panel = Image.new(
        "RGB",
        (columns * width, math.ceil(len(cells) / columns) * height + heading_height),
        BACKGROUND,
    )
    draw = ImageDraw.Draw(panel)
    for text, x, y in heading_lines:
        draw.text((x, y), text, READ, large)
    for number, (label, image) in enumerate(cells):
        row, column = divmod(number, columns)
        x, y = column * width, heading_height + row * height
        font = _fitting_font(label, width - GAP_PIXELS)
        draw.text((x + (width - font.getlength(label)) / 2, y), label, READ, font)
        panel.paste(image, (x + (width - image.width) // 2, y + LINE_PIXELS))
    return panel


def save_animation(
    picture: Image.Image,
    words: Sequence[str],
    weights: NDArray[np.floating],
    file: Path,
    *,
    heading: str = "",
) -> None:
    """Write a GIF with a frame per word: its overlay, and below it a heading and the words so far.

    weights: (T, rows, columns), one map per word; without words the GIF is the picture alone.
    Raises CaptionerError if words and weights do not match or the file cannot be written.
    """
    maps = check_maps(weights, words)
    small = _fit(picture, FRAME_PIXELS, FRAME_PIXELS)
    width = max(small.width, MIN_FRAME_WIDTH)
    font = _font(FONT_PIXELS)
    above, start = _lay_out(heading.split(), font, width)
    pieces = [(piece, n) for n, word in enumerate(words) for piece in _break(word, font, width)]
    positions, height = _lay_out([piece for piece, _ in pieces], font, width)
    below = [(number, *position) for (_, number), position in zip(pieces, positions, strict=True)]
    frames = []
    for current, cells in enumerate(maps):
        frame = Image.new("RGB", (width, small.height + start + height), BACKGROUND)
        frame.paste(overlay(small, cells), ((width - small.width) // 2, 0))
        draw = ImageDraw.Draw(frame)
        for text, x, y in above:
            draw.text((x, small.height + y), text, READ, font)
        for number, text, x, y in below:
            _draw_word(draw, text, (x, small.height + start + y), font, number - current)
        frames.append(frame)
    first, *others = _share_colours(frames or [small])

    played = {"save_all": True, "append_images": others, "duration": FRAME_MILLISECONDS, "loop": 0}
    atomic_write(file, lambda partial: first.save(partial, format="GIF", **played))


def _draw_word(
    draw: ImageDraw.ImageDraw,
    text: str,
    position: tuple[float, float],
    font: ImageFont.FreeTypeFont,
    ahead: int,
) -> None:
    """A word of an animation; ahead: 0 for that of the frame, above 0 for what comes later."""
    x, y = position
    draw.text((x, y), text, UNREAD if ahead > 0 else READ, font)
    if ahead == 0:
        line = y + LINE_PIXELS - 3
        draw.rectangle((x, line, x + font.getlength(text), line + 2), READ)


def _fit(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture as RGB, as large as fits into this size, scaled up or down."""
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def _font(pixels: int) -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager  # slow, and a server that draws nothing does without

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), pixels)


def _fitting_font(text: str, width: float) -> ImageFont.FreeTypeFont:
    """The font in the largest size, up to FONT_PIXELS, in which a text fits into this width."""
    font = _font(FONT_PIXELS)
    length = font.getlength(text)
    if length <= width:
        return font
    return _font(max(MIN_FONT_PIXELS, int(FONT_PIXELS * width / length)))


def _break(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """A word in as many pieces as it takes lines of this width."""
    pieces = [""]
    for character in word:
        if pieces[-1] and font.getlength(pieces[-1] + character) > width - 2 * MARGIN_PIXELS:
            pieces.append("")
        pieces[-1] += character
    return pieces


def _lay_out(
    words: Sequence[str], font: ImageFont.FreeTypeFont, width: int
) -> tuple[list[Position], int]:
    """Break words into lines of this width: where each piece stands, and the total height."""
    if not words:
        return [], 0
    positions: list[Position] = []
    line = LINE_PIXELS / FONT_PIXELS * font.size
    x, y = float(MARGIN_PIXELS), float(MARGIN_PIXELS)
    for piece in (piece for word in words for piece in _break(word, font, width)):
        length = font.getlength(piece)
        if x > MARGIN_PIXELS and x + length > width - MARGIN_PIXELS:
            x, y = float(MARGIN_PIXELS), y + line
        positions.append((piece, x, y))
        x += length + font.getlength(" ")
    return positions, round(y + line) + MARGIN_PIXELS


def _share_colours(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Reduce all frames to one palette of 256 colours; with a palette each, they would flicker."""
    sample = Image.new("RGB", (frames[0].width, len(frames) * frames[0].height))
    for number, frame in enumerate(frames):
        sample.paste(frame, (0, number * frame.height))
    # By coverage, since the bright colours of the heaviest cells are too rare for a count to keep;
    # without dithering, the smooth heat would turn into bands.
    palette = sample.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    return [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
