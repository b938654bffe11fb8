"""Attention weights as an overlay, a description in words, or arrays."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioner.errors import CaptionerError
from captioner.files import atomic_write

# Opacity of the heat over the grey picture: without weight, and at the heaviest cell.
MIN_OPACITY, MAX_OPACITY = 0.25, 0.7

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
    import matplotlib  # slow, and a server that draws nothing does without

    [cells] = check_maps(np.asarray(weights)[np.newaxis], [""])
    heaviest = cells.max()
    relative = Image.fromarray(cells / heaviest if heaviest > 0 else cells)
    heat = np.asarray(relative.resize(size, Image.Resampling.BILINEAR))
    colours = 255 * matplotlib.colormaps["inferno"](heat)[:, :, :3]
    return colours, (MIN_OPACITY + (MAX_OPACITY - MIN_OPACITY) * heat)[:, :, np.newaxis]


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
    maps = check_maps(weights, words)
    texts = np.array(list(words), dtype=np.str_)

    def save(partial: Path) -> None:
        with partial.open("wb") as out:
            np.savez_compressed(out, weights=maps, words=texts)

    atomic_write(file, save)


def check_maps(weights: NDArray[np.floating], words: Sequence[str]) -> NDArray[np.float32]:
    """Weights (T, rows, columns) as float32.

    Raises CaptionerError unless they are a map per word, finite and not negative.
    """
    maps = np.asarray(weights, dtype=np.float32)
    if maps.ndim != 3 or len(maps) != len(words) or 0 in maps.shape[1:]:
        raise CaptionerError(
            f"attention weights have the shape {maps.shape}; expected (T, rows, columns) with one "
            f"map for each of the {len(words)} words"
        )
    if not (np.isfinite(maps).all() and (maps >= 0).all()):
        raise CaptionerError("attention weights must be finite and not negative")
    return maps
