"""The pointing game, worked by hand."""

import numpy as np
import pytest

from captioner.metrics.pointing_game import Pointing, category_of, pointing_game, total

CATEGORIES = {"dog": 1, "bus": 2, "cross": 3}


@pytest.mark.parametrize(
    ("word", "category"),
    [("dog", 1), ("dogs", 1), ("buses", 2), ("bus", 2), ("crosses", 3), ("dogged", None)],
)
def test_singular_and_plural_words_name_categories(word: str, category: int | None) -> None:
    assert category_of(word, CATEGORIES) == category


def test_hit_if_the_centre_of_the_heaviest_cell_is_in_a_box() -> None:
    # A grid of 2 x 4: centres at x = 1/8, 3/8, 5/8, 7/8 and y = 1/4, 3/4.
    weights = np.zeros((4, 2, 4))
    weights[0, 1, 3] = 1.0  # "a": no category
    weights[1, 0, 1] = 0.6  # "dog": centre (3/8, 1/4), inside its second box
    weights[2, 1, 0] = 0.9  # "buses": centre (1/8, 3/4), outside
    weights[3, 0, 0] = 1.0  # "cross": not in the picture
    boxes = {1: [(0.9, 0.9, 0.1, 0.1), (0.3, 0.0, 0.2, 0.5)], 2: [(0.5, 0.0, 0.5, 1.0)]}
    game = pointing_game(["a", "dog", "buses", "cross"], weights, boxes, CATEGORIES)
    # One cell of eight lies in a dog's box, four in the bus's.
    assert game == Pointing(named=3, absent=1, hits=1, chance=1 / 8 + 4 / 8)
    assert game.share == pytest.approx(1 / 3)
    both = total([game, game])
    assert (both.named, both.hits, both.chance_share) == (6, 2, pytest.approx(0.625 / 3))
