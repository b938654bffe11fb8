"""Random crops: how much they keep, that colours change a little, and that a seed repeats them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from captioner.data import augmentation
from captioner.data.augmentation import random_crop


def slope(width: int, height: int) -> Image.Image:
    """Red grows from left to right and green from top to bottom, from 0 to 255."""
    across = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    down = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([across, down, 0 * down], 2).astype(np.uint8))


def kept(crop: Image.Image) -> tuple[float, float]:
    """The shares of a slope's width and height that its crop shows."""
    pixels: NDArray[np.int64] = np.asarray(crop).astype(np.int64)
    return (
        float(pixels[16, -1, 0] - pixels[16, 0, 0]) / 255,
        float(pixels[-1, 16, 1] - pixels[0, 16, 1]) / 255,
    )


@pytest.mark.parametrize("size", [(320, 320), (480, 160)])
def test_a_crop_keeps_most_of_a_picture(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augmentation, "_COLOUR", (1.0, 1.0))
    shares = [kept(random_crop(slope(*size), 33, seed)) for seed in range(50)]
    margin = 0.05  # half a pixel of the crop at each edge, and rounding
    areas = [across * down for across, down in shares]
    assert 0.7 - 2 * margin < min(areas) < 0.75
    assert 0.9 < max(areas) <= 1
    stretches = [across / down for across, down in shares]
    assert min(stretches) > 0.85 - margin
    assert max(stretches) < 1.18 + margin


def test_colours_change_a_little() -> None:
    grey = Image.new("RGB", (40, 30), (100, 100, 100))
    levels = {np.asarray(random_crop(grey, 8, seed))[0, 0, 0].item() for seed in range(50)}
    assert min(levels) in range(79, 90)
    assert max(levels) in range(110, 122)


def test_the_same_seed_gives_the_same_crop() -> None:
    picture = slope(60, 40)
    one, same, other = (random_crop(picture, 20, seed).tobytes() for seed in (1, 1, 2))
    assert one == same
    assert one != other
