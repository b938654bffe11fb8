"""The pointing game: whether the cell with the largest weight is on the object a word names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # x, y, width, height as fractions of the picture


@dataclass(frozen=True)
class Pointing:
    """Counts over all words that name a category.

    named: such words; absent: those whose category is not in the picture (never hits); hits: those
    whose largest weight is in a box of the category; chance: expected hits of a random cell.
    """

    named: int
    absent: int
    hits: int
    chance: float

    @property
    def share(self) -> float:
        """The share of named words that are hits."""
        return self.hits / self.named if self.named else float("nan")

    @property
    def chance_share(self) -> float:
        """The share that uniform attention would reach."""
        return self.chance / self.named if self.named else float("nan")


def category_of(word: str, categories: Mapping[str, int]) -> int | None:
    """Return the category that a word names, in the singular or with a plural's s or es."""
    for singular in (word, word.removesuffix("s"), word.removesuffix("es")):
        if singular in categories:
            return categories[singular]
    return None


def named_indices(words: Sequence[str], categories: Mapping[str, int]) -> list[int]:
    """Return the indices of the words that name a category."""
    return [index for index, word in enumerate(words) if category_of(word, categories) is not None]


def pointing_game(
    words: Sequence[str],
    weights: NDArray[np.floating],
    boxes: Mapping[int, Sequence[Box]],
    categories: Mapping[str, int],
) -> Pointing:
    """Score one caption (Zhang et al. 2018, "Top-down neural attention by excitation backprop").

    words: T; weights: (T, rows, columns); boxes: category id -> boxes in the picture. A cell is in
    a box if its centre is.
    """
    _, rows, columns = weights.shape
    named, absent, hits, chance = 0, 0, 0, 0.0
    for word, cells in zip(words, weights, strict=True):
        category = category_of(word, categories)
        if category is None:
            continue
        named += 1
        if category not in boxes:
            absent += 1
            continue
        inside = _cells_inside(boxes[category], rows, columns)
        hits += bool(inside.flat[int(cells.argmax())])
        chance += float(inside.mean())
    return Pointing(named, absent, hits, chance)


def total(games: Sequence[Pointing]) -> Pointing:
    """Add up the counts of all captions."""
    return Pointing(
        named=sum(game.named for game in games),
        absent=sum(game.absent for game in games),
        hits=sum(game.hits for game in games),
        chance=sum(game.chance for game in games),
    )


def _cells_inside(boxes: Sequence[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    y = (np.arange(rows)[:, None] + 0.5) / rows
    x = (np.arange(columns)[None, :] + 0.5) / columns
    inside = np.zeros((rows, columns), dtype=bool)
    for left, top, width, height in boxes:
        inside |= (left <= x) & (x <= left + width) & (top <= y) & (y <= top + height)
    return inside
