"""Attention weights made visible: an overlay, a panel with one overlay a word, plain arrays."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import CaptionerError
from captioner.files import write_whole

# How far the heat covers the grey picture: where no weight went, and at the heaviest cell.
LEAST_COVER, MOST_COVER = 0.25, 0.7

PANEL_COLUMNS = 5
PANEL_PICTURE_PIXELS = 480


def overlay(picture: Image.Image, weights: NDArray[np.floating]) -> Image.Image:
    """Lay attention over a grey copy of a picture as heat, from dark (none) to bright (most).

    weights: (rows, columns), not negative, relative to the heaviest; cells blend into one
    another. The overlay is RGB of the picture's size. Raises CaptionerError for weights of
    another form.
    """
    [cells] = _check(np.asarray(weights)[np.newaxis], [""])
    heaviest = cells.max()
    relative = Image.fromarray(cells / heaviest if heaviest > 0 else cells)
    heat = np.asarray(relative.resize(picture.size, Image.Resampling.BILINEAR))
    colours = 255 * matplotlib.colormaps["inferno"](heat)[:, :, :3]
    cover = (LEAST_COVER + (MOST_COVER - LEAST_COVER) * heat)[:, :, np.newaxis]
    grey = np.asarray(picture.convert("L").convert("RGB"))
    return Image.fromarray(np.rint((1 - cover) * grey + cover * colours).astype(np.uint8))


def save_panel(
    picture: Image.Image, words: Sequence[str], weights: NDArray[np.floating], file: Path
) -> None:
    """Write a PNG with the picture and then its overlay for each word, under the word.

    weights: (T, rows, columns), one map a word. The file is written whole or not at all. Raises
    CaptionerError where words and weights do not match and where the file cannot be written.
    """
    maps = _check(weights, words)
    small = picture.convert("RGB")
    small.thumbnail((PANEL_PICTURE_PIXELS, PANEL_PICTURE_PIXELS))
    cells = [("", small)]
    cells += [(word, overlay(small, one)) for word, one in zip(words, maps, strict=True)]
    columns = min(PANEL_COLUMNS, len(cells))
    rows = math.ceil(len(cells) / columns)
    # 0.3 inches above each picture are for the word.
    width = 2.6
    figure = Figure((columns * width, rows * (width * small.height / small.width + 0.3)), dpi=100)
    for number, (word, image) in enumerate(cells, start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(image)
        axes.set_axis_off()
        # A dollar sign would start a formula.
        axes.set_title(word, fontsize=13, parse_math=False)
    figure.tight_layout(pad=0.4)
    write_whole(file, lambda partial: figure.savefig(partial, format="png"))


def save_arrays(words: Sequence[str], weights: NDArray[np.floating], file: Path) -> None:
    """Write a compressed NumPy .npz with `weights` (T, rows, columns) float32 and `words` (T,).

    The file is written whole or not at all. Raises CaptionerError where words and weights do not
    match and where the file cannot be written.
    """
    maps = _check(weights, words)
    texts = np.array(list(words), dtype=np.str_)

    def save(partial: Path) -> None:
        with partial.open("wb") as out:
            np.savez_compressed(out, weights=maps, words=texts)

    write_whole(file, save)


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
