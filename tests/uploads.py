"""Pictures and requests for the tests of the web server."""

import io

import httpx
import numpy as np
from PIL import Image


def make_picture(seed: int, size: tuple[int, int] = (50, 70), form: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed)
    pixels = (noise.random((*size, 3)) * noise.integers(30, 256, 3)).astype(np.uint8)
    with io.BytesIO() as content:
        Image.fromarray(pixels).save(content, form)
        return content.getvalue()


def post(address: str, path: str, content: bytes, **fields: object) -> httpx.Response:
    files = {"image": ("../../etc/passwd", content)}
    return httpx.post(address + path, files=files, data=fields, timeout=60)
