"""Attention weights as an overlay, a panel, an animation, a description in words, or arrays."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from captioner.errors import CaptionerError
from captioner.files import atomic_write

# Opacity of the heat over the grey picture: without weight, and at the heaviest cell.
MIN_OPACITY, MAX_OPACITY = 0.25, 0.7

PANEL_COLUMNS = 5
PANEL_PICTURE_PIXELS = 480

FRAME_MILLISECONDS = 900
FONT_PIXELS, LINE_PIXELS, MARGIN_PIXELS = 20, 28, 10
READ, UNREAD, BACKGROUND = (0, 0, 0), (150, 150, 150), (255, 255, 255)

UNIFORM_ENTROPY = 0.98  # share of the largest entropy from which a map counts as uniform


def overlay(picture: Image.Image, weights: NDArray[np.floating]) -> Image.Image:
    """Draw attention over a grey copy of a picture, from dark (no weight) to bright (most weight).

    weights: (rows, columns), not negative; colours are relative to the heaviest cell and
    interpolated between cells. The result is RGB, of the picture's size. Raises CaptionerError for
    weights of another shape.
    """
    colours, opacity = _heat(weights, picture.size)
    grey = np.asarray(picture.convert("L").convert("RGB"))
    return Image.fromarray(np.rint((1 - opacity) * grey + opacity * colours).astype(np.uint8))


def layer(weights: NDArray[np.floating], size: tuple[int, int]) -> Image.Image:
    """The colours of `overlay` alone, with its opacities: RGBA, of this size (width, height)."""
    return Image.fromarray(
        np.rint(np.dstack([*_heat(weights, size)]) * [1, 1, 1, 255]).astype(np.uint8)
    )


def _heat(
    weights: NDArray[np.floating], size: tuple[int, int]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Colours (height, width, 3) from 0 to 255 and opacities (height, width, 1) from 0 to 1."""
    [cells] = _check(np.asarray(weights)[np.newaxis], [""])
    heaviest = cells.max()
    relative = Image.fromarray(cells / heaviest if heaviest > 0 else cells)
    heat = np.asarray(relative.resize(size, Image.Resampling.BILINEAR))
    colours = 255 * matplotlib.colormaps["inferno"](heat)[:, :, :3]
    return colours, (MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * heat)[:, :, np.newaxis]


def save_panel(
    picture: Image.Image, words: Sequence[str], weights: NDArray[np.floating], file: Path
) -> None:
    """Write a PNG with the picture, followed by its overlay for each word, titled by the word.

    weights: (T, rows, columns), one map per word. Raises CaptionerError if words and weights do not
    match or the file cannot be written.
    """
    maps = _check(weights, words)
    small = picture.convert("RGB")
    small.thumbnail((PANEL_PICTURE_PIXELS, PANEL_PICTURE_PIXELS))
    cells = [("", small)]
    cells += [(word, overlay(small, weight)) for word, weight in zip(words, maps, strict=True)]
    columns = min(PANEL_COLUMNS, len(cells))
    rows = math.ceil(len(cells) / columns)
    width, title_height = 2.6, 0.3  # in inches
    height = width * small.height / small.width + title_height
    figure = Figure((columns * width, rows * height), dpi=100)
    for number, (word, image) in enumerate(cells, start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(image)
        axes.set_axis_off()
        # Without parse_math=False a dollar sign would start a formula.
        axes.set_title(word, fontsize=13, parse_math=False)
    figure.tight_layout(pad=0.4)
    atomic_write(file, lambda partial: figure.savefig(partial, format="png"))


def save_animation(
    picture: Image.Image, words: Sequence[str], weights: NDArray[np.floating], file: Path
) -> None:
    """Write a GIF with a frame per word: its overlay, and below it the words so far.

    weights: (T, rows, columns), one map per word; without words the GIF is the picture alone.
    Raises CaptionerError if words and weights do not match or the file cannot be written.
    """
    maps = _check(weights, words)
    small = picture.convert("RGB")
    small.thumbnail((PANEL_PICTURE_PIXELS, PANEL_PICTURE_PIXELS))
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), FONT_PIXELS)
    positions, height = _lay_out(words, font, small.width)
    frames = []
    for current, cells in enumerate(maps):
        frame = Image.new("RGB", (small.width, small.height + height), BACKGROUND)
        frame.paste(overlay(small, cells))
        draw = ImageDraw.Draw(frame)
        for number, (word, (x, y)) in enumerate(zip(words, positions, strict=True)):
            colour = READ if number <= current else UNREAD
            draw.text((x, small.height + y), word, colour, font)
            if number == current:
                line = small.height + y + LINE_PIXELS - 3
                draw.rectangle((x, line, x + font.getlength(word), line + 2), READ)
        frames.append(frame)
    first, *others = _share_colours(frames or [small])

    def save(partial: Path) -> None:
        first.save(
            partial,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=FRAME_MILLISECONDS,
            loop=0,
        )

    atomic_write(file, save)


def _lay_out(
    words: Sequence[str], font: ImageFont.FreeTypeFont, width: int
) -> tuple[list[tuple[float, float]], int]:
    """Break words into lines of this width: the position of each word, and the total height."""
    positions: list[tuple[float, float]] = []
    x, y = float(MARGIN_PIXELS), float(MARGIN_PIXELS)
    for word in words:
        length = font.getlength(word)
        if x > MARGIN_PIXELS and x + length > width - MARGIN_PIXELS:
            x, y = float(MARGIN_PIXELS), y + LINE_PIXELS
        positions.append((x, y))
        x += length + font.getlength(" ")
    return positions, round(y) + LINE_PIXELS + MARGIN_PIXELS


def _share_colours(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """Reduce all frames to one palette of 256 colours; with a palette each, they would flicker."""
    sample = Image.new("RGB", (frames[0].width, len(frames) * frames[0].height))
    for number, frame in enumerate(frames):
        sample.paste(frame, (0, number * frame.height))
    palette = sample.quantize(256)
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def entropy(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of each map (..., rows, columns), as a share of the largest, log(rows * columns).

    It is 1 for a uniform map and 0 for one with all its weight in one cell. A map with a single
    cell has entropy 1.
    """
    cells = np.asarray(weights, dtype=np.float64).reshape(*weights.shape[:-2], -1)
    if cells.shape[-1] == 1:
        return np.ones(cells.shape[:-1])
    logs = np.log(cells, out=np.zeros_like(cells), where=cells > 0)
    return -(cells * logs).sum(-1) / math.log(cells.shape[-1])


def where(weights: NDArray[np.floating]) -> str:
    """Describe where the heaviest cell of a map (rows, columns) is, by thirds of the picture.

    For example "upper left", "middle right" or "centre"; "everywhere alike" for a uniform map.
    """
    if entropy(weights) >= UNIFORM_ENTROPY:
        return "everywhere alike"
    rows, columns = weights.shape
    row, column = divmod(int(np.argmax(weights)), columns)
    down = ("upper", "middle", "lower")[int(3 * (row + 0.5) / rows)]
    across = ("left", "centre", "right")[int(3 * (column + 0.5) / columns)]
    return "centre" if (down, across) == ("middle", "centre") else f"{down} {across}"


def save_arrays(words: Sequence[str], weights: NDArray[np.floating], file: Path) -> None:
    """Write a compressed NumPy .npz with `weights` (T, rows, columns) float32 and `words` (T,).

    Raises CaptionerError if words and weights do not match or the file cannot be written.
    """
    maps = _check(weights, words)
    texts = np.array(list(words), dtype=np.str_)

    def save(partial: Path) -> None:
        with partial.open("wb") as out:
            np.savez_compressed(out, weights=maps, words=texts)

    atomic_write(file, save)


def _check(weights: NDArray[np.floating], words: Sequence[str]) -> NDArray[np.float32]:
    maps = np.asarray(weights, dtype=np.float32)
    if maps.ndim != 3 or len(maps) != len(words) or 0 in maps.shape[1:]:
        raise CaptionerError(
            f"attention weights have the shape {maps.shape}; expected (T, rows, columns) with one "
            f"map for each of the {len(words)} words"
        )
    if not (np.isfinite(maps).all() and (maps >= 0).all()):
        raise CaptionerError("attention weights must be finite and not negative")
    return maps
