"""A picture as it is shown on a page: small, and part of the page itself."""

import base64
import io

from PIL import Image

PICTURE_PIXELS = 800
JPEG_QUALITY = 82


def data_uri(picture: Image.Image, *, pixels: int = PICTURE_PIXELS) -> str:
    """An RGB picture as a JPEG of at most so many pixels a side, in a data: address."""
    scale = min(1, pixels / max(picture.size))
    width, height = (max(1, round(side * scale)) for side in picture.size)
    small = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2)
    with io.BytesIO() as content:
        small.save(content, "JPEG", quality=JPEG_QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()
