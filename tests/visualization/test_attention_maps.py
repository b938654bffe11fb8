"""Attention maps show the weights, and files are written completely or not at all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from captioner import CaptionerError
from captioner.visualization.attention_maps import (
    MAX_OPACITY,
    MIN_OPACITY,
    entropy,
    overlay,
    save_arrays,
    where,
)

ROWS, COLUMNS = 3, 5


# The ends of the colour map, and the grey of the picture.
BRIGHT, DARK, GREY = np.array([252, 255, 164]), np.array([0, 0, 4]), 100


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (155, 93), (GREY, GREY, GREY))


def one_cell(row: int, column: int) -> np.ndarray:
    weights = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    weights[row, column] = 1
    return weights


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (2, 0), (1, 3)])
def test_heaviest_cell_is_bright_and_distant_cells_are_dark(picture, row, column):
    image = np.asarray(overlay(picture, one_cell(row, column)))
    assert image.shape == (93, 155, 3)
    middle = (row * 31 + 15, column * 31 + 15)  # each cell covers 31 by 31 pixels
    opposite = (15 if row else 75, 15 if column > 2 else 135)
    assert image[middle] == pytest.approx((1 - MAX_OPACITY) * GREY + MAX_OPACITY * BRIGHT, abs=1)
    assert image[opposite] == pytest.approx((1 - MIN_OPACITY) * GREY + MIN_OPACITY * DARK, abs=1)


def test_uniform_weights_are_bright_everywhere(picture):
    image = np.asarray(overlay(picture, np.full((ROWS, COLUMNS), 1 / 15)))
    assert (image == np.rint((1 - MAX_OPACITY) * GREY + MAX_OPACITY * BRIGHT)).all()


def test_only_the_ratio_of_weights_matters(picture):
    weights = np.random.default_rng(0).random((ROWS, COLUMNS))
    first, second = (np.asarray(overlay(picture, weights * factor)) for factor in (1, 0.001))
    assert np.abs(first.astype(int) - second).max() <= 1


def test_zero_weights_are_dark_everywhere(picture):
    image = np.asarray(overlay(picture, np.zeros((ROWS, COLUMNS))))
    assert (image == np.rint((1 - MIN_OPACITY) * GREY + MIN_OPACITY * DARK)).all()


def test_overlay_of_a_grey_picture_has_colours():
    image = overlay(Image.new("L", (60, 40), 90), one_cell(1, 1))
    assert image.mode == "RGB"
    assert image.size == (60, 40)


@pytest.mark.parametrize(
    "weights",
    [np.ones(5), np.ones((2, 3, 5)), np.ones((0, 5)), -one_cell(0, 0), one_cell(0, 0) * np.nan],
)
def test_weights_of_another_shape_raise(picture, weights):
    with pytest.raises(CaptionerError, match="attention weights"):
        overlay(picture, weights)


def test_entropy_is_a_share_of_the_largest():
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


def test_uniform_map_is_everywhere_alike():
    assert where(np.full((7, 5), 1 / 35)) == "everywhere alike"


def test_saved_arrays_load_unchanged(tmp_path):
    maps = np.random.default_rng(1).random((2, ROWS, COLUMNS)).astype(np.float32)
    save_arrays(["a", "dog"], maps, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as saved:
        assert set(saved) == {"weights", "words"}
        assert np.array_equal(saved["weights"], maps)
        assert saved["words"].tolist() == ["a", "dog"]


def test_caption_without_words_can_be_saved(tmp_path):
    nothing = np.zeros((0, ROWS, COLUMNS))
    save_arrays([], nothing, tmp_path / "maps.npz")
    with np.load(tmp_path / "maps.npz") as saved:
        assert saved["weights"].shape == (0, ROWS, COLUMNS)
        assert saved["words"].shape == (0,)


def test_number_of_maps_must_match_the_words(tmp_path):
    with pytest.raises(CaptionerError, match="each of the 2 words"):
        save_arrays(["a", "dog"], one_cell(0, 0)[np.newaxis], tmp_path / "maps.npz")
    assert not list(tmp_path.iterdir())


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    """As on a full disk: a partial file never replaces a complete one."""
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


def test_missing_output_folder_raises(tmp_path):
    with pytest.raises(CaptionerError, match="maps.npz: cannot be written"):
        save_arrays(["a"], one_cell(0, 0)[np.newaxis], Path(tmp_path / "nowhere" / "maps.npz"))
