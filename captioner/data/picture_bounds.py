"""How large a picture may be, and what is checked of it before its pixels are decoded.

The bounds are meant to keep the decoding of any file of at most 16 MiB under 5 seconds and 400 MB.
Larger files may take more, in proportion, and so may HEIC pictures.
"""

import io
import re
import struct
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from PIL import Image

from captioner.errors import CaptionerError, PictureTooLarge

MAX_BYTES = 256 * 2**20  # of a file
MAX_PIXELS = 160_000_000
MAX_SIDE = 65_535  # pixels; also what JPEG itself allows
MAX_MEMORY = 360_000_000  # bytes, as _memory estimates them; up to 40 MB more are not counted
MAX_SCANS = 500  # passes over the pixels that a progressive JPEG makes; usually about 10
MAX_SCAN_PIXELS = 2_000_000_000  # scans times pixels: 1 to 2 seconds
MAX_STRIPS = 2 * MAX_SIDE  # of a TIFF file
MAX_ENTRIES = 65_535  # of a directory of a TIFF file; only its large form could have more
MAX_SECONDS = 4.0  # of computing time, for what only shows while decoding

# Larger pictures are decoded to half their width and height.
FULL_PIXELS = 40_000_000

# libtiff refuses more scans of each of its strips.
_SCANS_IN_TIFF = 100

# What decoding takes besides the pixels themselves, in bytes per pixel.
_BESIDES = {"WEBP": 10, "TIFF": 4, "BMP": 2, "PPM": 4, "AVIF": 10, "JPEG2000": 18}
_BYTES_PER_PIXEL = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # others: 4

_JPEG = ("JPEG", "MPO")

_SHORT = 3  # a type of values in TIFF; below, the bytes of each that has more than 1
_UNITS = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_DIRECTORIES = (0x8769, 0x8825, 0xA005)  # entries that refer to another one: EXIF, GPS, others
_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_BITS, _ROWS_PER_STRIP, _TILE_WIDTH, _TILE_LENGTH = 258, 278, 322, 323

_IGNORED = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_IGNORING = threading.Lock()
_ignoring = 0


class BoundedContent(io.BytesIO):
    """A picture's bytes, whose reading ends after MAX_SECONDS of this thread's computing time.

    Pillow asks for every comment, marker and run of pixels on its own, so whatever of these takes
    too long is noticed here.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name
        self.end = time.thread_time() + MAX_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on, or raise PictureTooLarge."""
        if time.thread_time() > self.end:
            raise PictureTooLarge(
                f"{self.name} takes more than {MAX_SECONDS:g} seconds to decode; save it again as "
                "JPEG or PNG"
            )
        return super().read(size)


@contextmanager
def ignored_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings of large pictures, which are bounded here, and broken metadata.

    Unlike warnings.catch_warnings this is safe in threads: the filter stands in the list as long
    as any of them is in here, and what others change in the list stays as they left it.
    """
    global _ignoring
    with _IGNORING:
        _ignoring += 1
        if _IGNORED not in warnings.filters:
            warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        with _IGNORING:
            _ignoring -= 1
            if not _ignoring:
                with suppress(ValueError):
                    cast(list[Any], warnings.filters).remove(_IGNORED)


def check_length(length: int, name: str) -> None:
    """Raise PictureTooLarge for a file of too many bytes."""
    if length > MAX_BYTES:
        raise PictureTooLarge(
            f"{name} has more than {MAX_BYTES // 2**20} MiB; at most that is read, make it smaller"
        )


def check_tiff(content: bytes, name: str) -> None:
    """Raise PictureTooLarge for a TIFF file that makes Pillow collect far more than it contains."""
    entries = tiff_entries(content)
    if len(entries) > MAX_ENTRIES:
        raise PictureTooLarge(_too_much(name, "more entries", MAX_ENTRIES))
    for tag, _, count, _ in entries:
        if tag in (_STRIP_OFFSETS, _TILE_OFFSETS) and count > MAX_STRIPS:
            raise PictureTooLarge(_too_much(name, f"{count} strips", MAX_STRIPS))
    metadata, most = _metadata_bytes(content), 2 * len(content) + 2**20
    if metadata > most:
        found = f"{metadata / 2**20:.0f} MiB of metadata"
        raise PictureTooLarge(_too_much(name, found, f"{most / 2**20:.0f} MiB in its size"))


def choose_scale(picture: Image.Image, content: bytes, name: str, max_pixels: int) -> int:
    """By how much to divide the width and height of a picture that is opened but not decoded.

    1 unless it is large. content: the file it was opened from; empty for one that was opened
    elsewhere. Raises CaptionerError for one without pixels, PictureTooLarge for one that would take
    too much.
    """
    width, height = picture.size
    if not width or not height:
        raise CaptionerError(f"{name} has no pixels: it is {width}x{height}")
    check_pixels(width * height, name, max_pixels)
    if max(width, height) > MAX_SIDE:
        raise PictureTooLarge(_too_much(name, f"a side of {max(width, height)} pixels", MAX_SIDE))
    scans = _count_scans(picture, content)
    if scans > MAX_SCANS:
        raise PictureTooLarge(_too_much(name, f"{scans} scans", MAX_SCANS))
    if scans * width * height > MAX_SCAN_PIXELS:
        found = f"{scans} scans of {width * height / 1e6:.1f} million pixels"
        raise PictureTooLarge(_too_much(name, found, f"{MAX_SCAN_PIXELS // 10**6} million in all"))
    least = 2 if width * height > FULL_PIXELS else 1
    scales = (least, 2, 4, 8) if picture.format in _JPEG else (least, 2)
    memory = [_memory(picture, scans, scale) for scale in scales]
    for scale, needed in zip(scales, memory, strict=True):
        if needed <= MAX_MEMORY:
            return scale
    found = f"{width}x{height} pixels, which take {memory[-1] / 1e6:.0f} MB to decode"
    raise PictureTooLarge(_too_much(name, found, f"{MAX_MEMORY // 10**6} MB"))


def check_pixels(pixels: int, name: str, max_pixels: int) -> None:
    """Raise PictureTooLarge for too many pixels."""
    if pixels > max_pixels:
        found = f"{pixels / 1e6:.0f} million pixels"
        raise PictureTooLarge(_too_much(name, found, f"{max_pixels / 1e6:g} million"))


def tiff_entries(content: bytes, start: int | None = None) -> list[tuple[int, int, int, int]]:
    """Tag, type, count and first value of each entry of a TIFF directory, by default the first.

    EXIF metadata has the same form. Empty where it is damaged.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        return []
    try:
        big = struct.unpack_from(order + "H", content, 2)[0] == 43
        if start is None:
            start = struct.unpack_from(order + ("Q" if big else "L"), content, 8 if big else 4)[0]
        length = struct.unpack_from(order + ("Q" if big else "H"), content, start)[0]
    except struct.error:
        return []
    start += 8 if big else 2
    form = struct.Struct(order + ("HHQQ" if big else "HHLL"))
    table = content[start : start + form.size * min(length, MAX_ENTRIES + 1)]
    entries = []
    for tag, kind, count, value in form.iter_unpack(table[: len(table) // form.size * form.size]):
        if kind == _SHORT and order == ">":  # which stands at the left of its field
            value >>= 48 if big else 16
        entries.append((tag, kind, count, value & 0xFFFF if kind == _SHORT else value))
    return entries


def _metadata_bytes(content: bytes, start: int | None = None, depth: int = 2) -> int:
    """How many bytes the entries of a TIFF directory and of those below it refer to."""
    entries = tiff_entries(content, start)
    referred = sum(count * _UNITS.get(kind, 1) for _, kind, count, _ in entries)
    if depth:  # of several entries of the same kind, the last one counts
        below = {tag: value for tag, _, _, value in entries if tag in _DIRECTORIES}
        referred += sum(_metadata_bytes(content, value, depth - 1) for value in below.values())
    return referred


def _too_much(name: str, found: str, bound: object) -> str:
    return f"{name} has {found}; expected at most {bound}, make it smaller first"


_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # in between stand escaped and restart bytes


def _count_scans(picture: Image.Image, content: bytes) -> int:
    """How often decoding passes over the pixels."""
    if picture.format == "TIFF" and "jpeg" in str(picture.info.get("compression")):
        return min(content.count(b"\xff\xda"), _SCANS_IN_TIFF)
    if picture.format not in _JPEG or content.count(b"\xff\xda") < 2:
        return 1
    scans, position = 0, 2
    while marker := _MARKER.search(content, position):
        position = marker.end()
        kind = marker[1][0]
        if kind == 0xD9 and scans:  # the end
            break
        if kind not in (0x01, 0xD8, 0xD9):
            scans += kind == 0xDA
            position += int.from_bytes(content[position : position + 2])
    return scans


def _memory(picture: Image.Image, scans: int, scale: int) -> int:
    """Bytes that decoding takes at most, its result included."""
    pixels = picture.width * picture.height
    result = 4 * pixels // scale**2
    decoded = pixels * _BYTES_PER_PIXEL.get(picture.mode, 4)
    besides = pixels * _BESIDES.get(str(picture.format), 0)
    if picture.format in _JPEG:
        decoded = min(decoded, result)
        if scans > 1:  # the coefficients of all of it, 2 bytes each
            layers = picture.layer  # type: ignore[attr-defined]
            most = max(across for _, across, _, _ in layers) * max(down for *_, down, _ in layers)
            besides = 2 * pixels * sum(across * down for _, across, down, _ in layers) // most
    elif picture.format == "TIFF" and picture.info.get("compression") != "raw":
        besides += _strip_bytes(picture)
    return decoded + besides + result


def _strip_bytes(picture: Image.Image) -> int:
    """Bytes of a strip or tile of a TIFF file, as it is decompressed."""
    tags = picture.tag_v2  # type: ignore[attr-defined]
    bits = tags.get(_BITS, (1,))
    samples = sum(bits) if isinstance(bits, tuple) else bits
    if _TILE_WIDTH in tags:
        area = tags[_TILE_WIDTH] * tags.get(_TILE_LENGTH, 1)
    else:
        area = picture.width * min(tags.get(_ROWS_PER_STRIP, picture.height), picture.height)
    return area * max(samples, 32) // 8
