"""Augmentation: pictures for training, cropped and coloured at random."""

import random

from PIL import Image, ImageEnhance

CROPS = 1  # the version of what follows: another one makes other crops of the same seed
_AREA = (0.7, 1.0)  # share of the picture that is kept
_STRETCH = (0.85, 1.18)  # width over height of what is kept, relative to the picture
_COLOUR = (0.8, 1.2)  # factor of brightness, contrast and saturation


def random_crop(picture: Image.Image, size: int, seed: int) -> Image.Image:
    """A part of a picture as size × size pixels, in changed colours; the same for the same seed.

    Like `to_array`, it does not keep the aspect ratio.
    """
    draw = random.Random(seed).uniform
    area, stretch = draw(*_AREA), draw(*_STRETCH)
    width = picture.width * min(1.0, (area * stretch) ** 0.5)
    height = picture.height * min(1.0, (area / stretch) ** 0.5)
    left, top = draw(0, picture.width - width), draw(0, picture.height - height)
    box = (left, top, left + width, top + height)
    cropped = picture.resize((size, size), Image.Resampling.BILINEAR, box)
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        cropped = enhance(cropped).enhance(draw(*_COLOUR))
    return cropped
