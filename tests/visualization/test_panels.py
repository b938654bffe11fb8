"""Panels and animations show each word's map, and cut nothing off."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from captioner.visualization.attention_maps import overlay
from captioner.visualization.panels import FRAME_MILLISECONDS, save_animation, save_panel

ROWS, COLUMNS = 3, 5
WHITE = 255


@pytest.fixture
def picture() -> Image.Image:
    return Image.new("RGB", (480, 288), (100, 100, 100))


def one_cell(row: int, column: int) -> np.ndarray:
    weights = np.zeros((ROWS, COLUMNS), dtype=np.float32)
    weights[row, column] = 1
    return weights


def drawn(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def frames_of(file: Path) -> list[Image.Image]:
    with Image.open(file) as played:
        frames = []
        for number in range(played.n_frames):
            played.seek(number)
            frames.append(played.convert("RGB"))
        return frames


def test_panel_shows_the_map_of_each_word(picture, tmp_path):
    """With another map for one word, only the part of that word changes."""
    corner, centre = one_cell(0, 0), one_cell(1, 2)
    save_panel(picture, ["a", "dog"], np.stack([corner, corner]), tmp_path / "one.png")
    save_panel(picture, ["a", "dog"], np.stack([corner, centre]), tmp_path / "two.png")
    first, second = (drawn(tmp_path / name) for name in ("one.png", "two.png"))
    assert first.shape == second.shape
    differing = np.nonzero((first != second).any(axis=(0, 2)))[0]
    assert differing.size
    assert differing.min() > first.shape[1] * 2 / 3  # the third of three cells


def test_panel_of_many_words_has_several_rows(picture, tmp_path):
    maps = np.stack([one_cell(0, 0)] * 7)
    save_panel(picture, list("abcdefg"), maps, tmp_path / "seven.png")
    save_panel(picture, list("abc"), maps[:3], tmp_path / "three.png")
    assert len(drawn(tmp_path / "seven.png")) == 2 * len(drawn(tmp_path / "three.png"))


@pytest.mark.parametrize("size", [(480, 288), (20, 300), (600, 30), (3, 2)])
def test_nothing_of_the_heading_and_the_labels_is_cut_off(tmp_path, size):
    label = "uncharacteristically-long-hyphenated-word  86 %"
    heading = " ".join(["what", "is", "the", "man", "holding?", "w" * 90] * 3)
    file = tmp_path / "panel.png"
    save_panel(Image.new("RGB", size), [label], one_cell(0, 0)[np.newaxis], file, heading=heading)
    panel = drawn(file)
    rows = np.nonzero((panel < 128).any(axis=(1, 2)))[0]
    edges = np.concatenate([panel[:, :2], panel[:, -2:]], axis=1)  # where text would be cut
    assert (edges == WHITE).all() and (panel[:4] == WHITE).all() and rows.min() >= 4
    alone = tmp_path / "alone.png"
    save_panel(Image.new("RGB", size), [label], one_cell(0, 0)[np.newaxis], alone)
    added = len(panel) - len(drawn(alone))
    assert (panel[added:] == drawn(alone)).all()  # the heading takes lines of its own, above
    assert (panel[:added] < 128).any(axis=(1, 2)).sum() > 6 * 15  # at least six lines of text


def test_animation_shows_the_cell_of_each_word_in_turn(picture, tmp_path):
    cells = [(0, 0), (1, 3), (2, 4)]
    maps = np.stack([one_cell(*cell) for cell in cells])
    save_animation(picture, ["a", "dog", "naïve"], maps, tmp_path / "maps.gif")
    with Image.open(tmp_path / "maps.gif") as played:
        assert (played.n_frames, played.info["loop"]) == (3, 0)
        assert played.info["duration"] == FRAME_MILLISECONDS
    for (row, column), frame in zip(cells, frames_of(tmp_path / "maps.gif"), strict=True):
        light = np.asarray(frame)[:288].astype(int).sum(-1)
        brightest = np.unravel_index(light.argmax(), light.shape)
        assert (brightest[0] // 96, brightest[1] // 96) == (row, column)


def test_animation_keeps_the_heat_smooth_and_its_brightest_colours(picture, tmp_path):
    maps = np.stack([one_cell(0, 0), one_cell(1, 3)])
    save_animation(picture, ["a", "dog"], maps, tmp_path / "maps.gif")
    for weights, frame in zip(maps, frames_of(tmp_path / "maps.gif"), strict=True):
        wanted, found = (
            np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=float)
            for image in (overlay(picture, weights), frame.crop((0, 0, 480, 288)))
        )
        differences = np.abs(wanted - found)[8:-8, 8:-8]
        assert differences.max() < 8 and differences.mean() < 1


def test_animation_marks_the_words_so_far_and_breaks_lines(tmp_path):
    words = ["seven", "words", "that", "need", "more", "than", "one"]
    maps = np.stack([one_cell(0, 0)] * 7)
    save_animation(Image.new("RGB", (155, 310)), words, maps, tmp_path / "maps.gif")
    frames = [np.asarray(frame.convert("L")) for frame in frames_of(tmp_path / "maps.gif")]
    assert frames[0].shape[0] > 480 + 2 * 28
    # More and more words are black, and the picture stays the same.
    black = [int((frame[480:] < 60).sum()) for frame in frames]
    assert black[-1] > black[0]
    assert all((frame[:480] == frames[0][:480]).all() for frame in frames)
    with_heading = tmp_path / "heading.gif"
    save_animation(
        Image.new("RGB", (155, 310)), words, maps, with_heading, heading="is it? yes (60 %)"
    )
    assert frames_of(with_heading)[0].height > frames[0].shape[0]


def test_pictures_without_words(picture, tmp_path):
    nothing = np.zeros((0, ROWS, COLUMNS))
    save_animation(picture, [], nothing, tmp_path / "maps.gif")
    [frame] = frames_of(tmp_path / "maps.gif")
    assert frame.size == picture.size
    save_panel(picture, [], nothing, tmp_path / "maps.png")
    assert drawn(tmp_path / "maps.png").shape[1] > 288


@pytest.mark.parametrize("word", ["$", "$x$", r"\frac", "naïve", "<b>"])
def test_special_characters_in_labels(picture, tmp_path, word):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_panel(picture, [word], one_cell(0, 0)[np.newaxis], tmp_path / "panel.png")
    save_panel(picture, [""], one_cell(0, 0)[np.newaxis], tmp_path / "empty.png")
    assert (drawn(tmp_path / "panel.png") != drawn(tmp_path / "empty.png")).any()
