"""Attention maps: light falls where the weights are, and files are whole or not there."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import CaptionerError
from captioner.visualization.attention_maps import (
    FRAME_MILLISECONDS,
    LEAST_COVER,
    MOST_COVER,
    entropy,
    overlay,
    save_animation,
    save_arrays,
    save_panel,
    where,
)

ROWS, COLUMNS = 3, 5


# The ends of the colour map, and a picture between them, grey however it is converted.
BRIGHT, DARK, GREY = np.array([252, 255, 164]), np.array([0, 0, 4]), 100


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (155, 93), (GREY, GREY, GREY))


def one_cell(row: int, column: int) -> np.ndarray:
    weights = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    weights[row, column] = 1
    return weights


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (2, 0), (1, 3)])
def test_the_heaviest_cell_is_bright_and_the_far_ones_dark(picture, row, column):
    lit = np.asarray(overlay(picture, one_cell(row, column)))
    assert lit.shape == (93, 155, 3)
    middle = (row * 31 + 15, column * 31 + 15)  # each cell covers 31 by 31 pixels
    opposite = (15 if row else 75, 15 if column > 2 else 135)
    assert lit[middle] == pytest.approx((1 - MOST_COVER) * GREY + MOST_COVER * BRIGHT, abs=1)
    assert lit[opposite] == pytest.approx((1 - LEAST_COVER) * GREY + LEAST_COVER * DARK, abs=1)


def test_even_weights_are_bright_everywhere(picture):
    lit = np.asarray(overlay(picture, np.full((ROWS, COLUMNS), 1 / 15)))
    assert (lit == np.rint((1 - MOST_COVER) * GREY + MOST_COVER * BRIGHT)).all()


def test_only_the_ratio_of_weights_matters(picture):
    weights = np.random.default_rng(0).random((ROWS, COLUMNS))
    one, other = (np.asarray(overlay(picture, weights * factor)) for factor in (1, 0.001))
    assert np.abs(one.astype(int) - other).max() <= 1


def test_no_weight_at_all_is_dark_everywhere(picture):
    lit = np.asarray(overlay(picture, np.zeros((ROWS, COLUMNS))))
    assert (lit == np.rint((1 - LEAST_COVER) * GREY + LEAST_COVER * DARK)).all()


def test_a_grey_picture_becomes_a_colour_overlay():
    lit = overlay(Image.new("L", (60, 40), 90), one_cell(1, 1))
    assert lit.mode == "RGB"
    assert lit.size == (60, 40)


@pytest.mark.parametrize(
    "weights",
    [np.ones(5), np.ones((2, 3, 5)), np.ones((0, 5)), -one_cell(0, 0), one_cell(0, 0) * np.nan],
)
def test_weights_of_another_form_are_refused(picture, weights):
    with pytest.raises(CaptionerError, match="attention weights"):
        overlay(picture, weights)


def test_a_panel_shows_each_words_own_map(picture, tmp_path):
    """The same words with the light elsewhere: the panel changes in that word's part alone."""
    corner, centre = one_cell(0, 0), one_cell(1, 2)
    save_panel(picture, ["a", "dog"], np.stack([corner, corner]), tmp_path / "one.png")
    save_panel(picture, ["a", "dog"], np.stack([corner, centre]), tmp_path / "two.png")
    one, two = (np.asarray(Image.open(tmp_path / name)) for name in ("one.png", "two.png"))
    assert one.shape == two.shape
    differing = np.nonzero((one != two).any(axis=(0, 2)))[0]
    assert differing.size
    assert differing.min() > one.shape[1] * 2 / 3 - 5  # the third of three cells


def test_a_panel_of_many_words_goes_on_in_further_rows(picture, tmp_path):
    maps = np.stack([one_cell(0, 0)] * 7)
    save_panel(picture, list("abcdefg"), maps, tmp_path / "seven.png")
    save_panel(picture, list("abc"), maps[:3], tmp_path / "three.png")
    with Image.open(tmp_path / "seven.png") as seven, Image.open(tmp_path / "three.png") as three:
        assert seven.height == pytest.approx(2 * three.height, abs=2)


def test_an_animation_lights_each_words_cell_in_turn(picture, tmp_path):
    cells = [(0, 0), (1, 3), (2, 4)]
    maps = np.stack([one_cell(*cell) for cell in cells])
    save_animation(picture, ["a", "dog", "naïve"], maps, tmp_path / "maps.gif")
    with Image.open(tmp_path / "maps.gif") as played:
        assert (played.n_frames, played.info["loop"]) == (3, 0)
        for number, (row, column) in enumerate(cells):
            played.seek(number)
            assert played.info["duration"] == FRAME_MILLISECONDS
            light = np.asarray(played.convert("RGB"))[:93].astype(int).sum(-1)
            assert light.shape[1] == 155
            brightest = np.unravel_index(light.argmax(), light.shape)
            assert (brightest[0] // 31, brightest[1] // 31) == (row, column)


def test_an_animation_underlines_the_word_at_hand_and_breaks_lines(picture, tmp_path):
    words = ["seven", "words", "that", "need", "more", "than", "one"]
    save_animation(picture, words, np.stack([one_cell(0, 0)] * 7), tmp_path / "maps.gif")
    with Image.open(tmp_path / "maps.gif") as played:
        frames = [np.asarray(frame.copy().convert("L")) for frame in _frames(played)]
    assert played.height > 93 + 2 * 28
    # More and more of the words are black, and none of the pictures changes.
    black = [int((frame[93:] < 60).sum()) for frame in frames]
    assert black[-1] > black[0]
    assert all((frame[:93] == frames[0][:93]).all() for frame in frames)


def _frames(played):
    for number in range(played.n_frames):
        played.seek(number)
        yield played


def test_an_animation_without_words_is_the_picture(picture, tmp_path):
    save_animation(picture, [], np.zeros((0, ROWS, COLUMNS)), tmp_path / "maps.gif")
    with Image.open(tmp_path / "maps.gif") as played:
        assert (played.n_frames, played.size) == (1, picture.size)


def test_entropy_is_a_share_of_the_greatest():
    two = np.zeros((ROWS, COLUMNS))
    two[0, 0] = two[2, 1] = 0.5
    maps = np.stack([one_cell(1, 1), two, np.full((ROWS, COLUMNS), 1 / 15)])
    assert entropy(maps) == pytest.approx([0, np.log(2) / np.log(15), 1])
    assert entropy(np.ones((1, 1))) == 1


@pytest.mark.parametrize(
    ("shape", "cell", "name"),
    [
        ((8, 8), (0, 0), "upper left"),
        ((8, 8), (2, 3), "upper centre"),
        ((8, 8), (3, 4), "centre"),
        ((8, 8), (4, 7), "middle right"),
        ((8, 8), (5, 0), "lower left"),
        ((3, 5), (2, 4), "lower right"),
        ((1, 2), (0, 1), "middle right"),
    ],
)
def test_where_names_the_third_of_the_heaviest_cell(shape, cell, name):
    weights = np.full(shape, 0.01)
    weights[cell] = 1
    assert where(weights / weights.sum()) == name


def test_an_even_map_looks_nowhere_in_particular():
    assert where(np.full((7, 5), 1 / 35)) == "everywhere alike"


@pytest.mark.parametrize("word", ["$", "$x$", r"\frac", "naïve", "<b>"])
def test_any_word_can_be_a_title(picture, tmp_path, word):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_panel(picture, [word], one_cell(0, 0)[np.newaxis], tmp_path / "panel.png")


def test_arrays_come_back_as_they_were(tmp_path):
    maps = np.random.default_rng(1).random((2, ROWS, COLUMNS)).astype(np.float32)
    save_arrays(["a", "dog"], maps, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as saved:
        assert set(saved) == {"weights", "words"}
        assert np.array_equal(saved["weights"], maps)
        assert saved["words"].tolist() == ["a", "dog"]


def test_a_caption_without_words_has_an_empty_file(picture, tmp_path):
    nothing = np.zeros((0, ROWS, COLUMNS))
    save_arrays([], nothing, tmp_path / "maps.npz")
    save_panel(picture, [], nothing, tmp_path / "maps.png")
    with np.load(tmp_path / "maps.npz") as saved:
        assert saved["weights"].shape == (0, ROWS, COLUMNS)
        assert saved["words"].shape == (0,)


def test_one_map_a_word(picture, tmp_path):
    with pytest.raises(CaptionerError, match="each of the 2 words"):
        save_arrays(["a", "dog"], one_cell(0, 0)[np.newaxis], tmp_path / "maps.npz")
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(picture, tmp_path, monkeypatch):
    """As on a full disk: no half file takes the place of a whole one."""
    target = tmp_path / "maps.npz"
    save_arrays(["a"], one_cell(0, 0)[np.newaxis], target)
    before = target.read_bytes()

    def fill_the_disk(out, **arrays):
        out.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fill_the_disk)
    with pytest.raises(CaptionerError, match=r"maps.npz: cannot be written \(No space left"):
        save_arrays(["a"], one_cell(1, 1)[np.newaxis], target)
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_an_output_folder_that_is_not_there(tmp_path):
    with pytest.raises(CaptionerError, match="maps.npz: cannot be written"):
        save_arrays(["a"], one_cell(0, 0)[np.newaxis], Path(tmp_path / "nowhere" / "maps.npz"))
