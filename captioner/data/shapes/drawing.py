"""Draws a scene of shapes and packs it as PNG, in whole numbers only.

Neither Pillow's drawing nor zlib's compression is the same in every version; what is done here is,
so that a seed gives the same bytes on every machine.
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from captioner.data.shapes.scenes import COLOURS, UNITS, Scene, Shape

# Corners in thousandths of half a side, y pointing down.
_POLYGONS = {
    "square": [(-1000, -1000), (1000, -1000), (1000, 1000), (-1000, 1000)],
    "triangle": [(0, -1000), (1000, 1000), (-1000, 1000)],
    "star": [
        *[(0, -1000), (265, -364), (951, -309), (428, 139), (588, 809)],
        *[(0, 450), (-588, 809), (-428, 139), (-951, -309), (-265, -364)],
    ],
    "cross": [
        *[(-330, -1000), (330, -1000), (330, -330), (1000, -330), (1000, 330), (330, 330)],
        *[(330, 1000), (-330, 1000), (-330, 330), (-1000, 330), (-1000, -330), (-330, -330)],
    ],
}
_FINE = 2  # points a pixel, each way: smooth edges with few enough colours for 4 bits
_LEVELS = _FINE * _FINE


@dataclass(frozen=True)
class Drawing:
    """A PNG file, and of each shape the box (left, top, width, height) and the pixels touched."""

    png: bytes
    boxes: list[tuple[int, int, int, int]]
    areas: list[int]


def draw(scene: Scene, size: int) -> Drawing:
    """The scene in size x size pixels."""
    pixels = np.zeros((size, size), dtype=np.uint8)  # indices into the palette
    palette: list[tuple[int, ...]] = [(scene.background,) * 3]
    boxes, areas = [], []
    for shape in scene.shapes:
        left, top = shape.left * size // UNITS, shape.top * size // UNITS
        covered = _coverage(shape, size)
        window = pixels[top : top + len(covered), left : left + len(covered)]
        window[covered > 0] = covered[covered > 0] + len(palette) - 1
        for level in range(1, _LEVELS + 1):
            palette.append(_mix(COLOURS[shape.colour], scene.background, level))
        rows, columns = np.nonzero(covered)
        width, height = int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1
        boxes.append((left + int(columns.min()), top + int(rows.min()), width, height))
        areas.append(len(rows))
    return Drawing(_png(pixels, palette), boxes, areas)


def _mix(colour: tuple[int, int, int], background: int, level: int) -> tuple[int, ...]:
    mixed = (value * level + background * (_LEVELS - level) for value in colour)
    return tuple((value + _LEVELS // 2) // _LEVELS for value in mixed)


def _coverage(shape: Shape, size: int) -> np.ndarray:
    """How many points of each pixel lie in the shape, over the shape's own square of pixels."""
    side = shape.side * size // UNITS
    # Twice the distance of each point from the middle, so that half points are whole numbers.
    y, x = 2 * np.mgrid[: side * _FINE, : side * _FINE] + 1 - side * _FINE
    half = side * _FINE
    if shape.noun == "circle":
        inside = x * x + y * y <= half * half
    else:
        corners = [(cx * half // 1000, cy * half // 1000) for cx, cy in _POLYGONS[shape.noun]]
        inside = _in_polygon(x, y, corners)
    return inside.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3))


def _in_polygon(x: np.ndarray, y: np.ndarray, corners: list[tuple[int, int]]) -> np.ndarray:
    """Whether a ray from each point to the right crosses the outline an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        crosses_height = (y1 > y) != (y2 > y)
        side = (x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)
        inside ^= crosses_height & (side < 0 if y2 > y1 else side > 0)
    return inside


def _png(pixels: np.ndarray, palette: list[tuple[int, ...]]) -> bytes:
    """A PNG file with a palette and 4 bits a pixel, not compressed."""
    height, width = pixels.shape
    even = np.pad(pixels, ((0, 0), (0, width % 2)))
    packed = even[:, 0::2] << 4 | even[:, 1::2]
    rows = np.pad(packed, ((0, 0), (1, 0))).tobytes()  # a 0 before every row: not filtered
    colours = b"".join(bytes(colour) for colour in palette)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours),
            _chunk(b"IDAT", _stored(rows)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _stored(content: bytes) -> bytes:
    """A zlib stream of stored blocks (RFC 1950, RFC 1951)."""
    blocks = []
    for start in range(0, len(content), 65535):
        block = content[start : start + 65535]
        last = start + 65535 >= len(content)
        blocks.append(struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF) + block)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(content))
