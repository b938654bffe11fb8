"""Which way up a picture is: read from its metadata, of which nothing else is looked at."""

import re

from PIL import Image

from captioner.data.picture_bounds import tiff_entries
from captioner.errors import PictureTooLarge

MAX_SEGMENTS = 10_000  # of a JPEG file before its pixels; a colour profile takes up to 255

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')

_SEGMENT = re.compile(rb"\xff([\x01-\xfe])")
_START_OF_SCAN = 0xDA
_ALONE = (0x01, *range(0xD0, 0xDA))  # markers without a length
_METADATA = (*range(0xE1, 0xEE), 0xEF, 0xFE)  # APP1 to APP15 and comments; APP14 tells the colours
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


def strip_jpeg(content: bytes, name: str) -> tuple[bytes, int]:
    """A JPEG file without its metadata, and the orientation that this gives, 0 without any.

    Pillow would put together and evaluate whatever is there, which may be thousands of EXIF
    blocks, or entries that all refer to the same 64 KB. Raises PictureTooLarge for too many
    segments.
    """
    kept, exif, xmp = [content[:2]], b"", b""
    position = 2
    for _ in range(MAX_SEGMENTS):
        marker = _SEGMENT.search(content, position)
        if not marker:
            return b"".join(kept), 0
        start, kind = marker.start(), marker[1][0]
        if kind == _START_OF_SCAN:
            return b"".join([*kept, content[start:]]), _orientation(exif, xmp)
        position = marker.end()
        if kind in _ALONE:
            continue
        data = position + 2
        position += max(2, int.from_bytes(content[position:data]))
        if kind not in _METADATA:
            kept.append(content[start:position])
        elif content.startswith(_EXIF, data) and not exif:
            exif = content[data + len(_EXIF) : position]
        elif content.startswith(_XMP, data) and not xmp:
            xmp = content[data + len(_XMP) : position]
    raise PictureTooLarge(
        f"{name} has more than {MAX_SEGMENTS} segments before its pixels; save it again"
    )


def orientation_of(picture: Image.Image) -> int:
    """The orientation that a picture's metadata gives, as Pillow has collected it; 0 without any.

    Pillow's own getexif reads every entry, whatever it refers to.
    """
    exif = picture.info.get("exif")
    if exif is None:
        exif = _from_text(picture.info.get("Raw profile type exif"))
    xmp = picture.info.get("XML:com.adobe.xmp") or picture.info.get("xmp") or b""
    return _orientation(exif.removeprefix(_EXIF), xmp.encode() if isinstance(xmp, str) else xmp)


def turn_upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture turned or mirrored as its EXIF orientation, 1 to 8, asks for."""
    turn = _UPRIGHT.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _orientation(exif: bytes, xmp: bytes) -> int:
    for tag, _, _, value in tiff_entries(exif):
        if tag == _ORIENTATION_TAG:
            return value
    found = _IN_XMP.search(xmp)
    return int(found[1]) if found else 0


def _from_text(text: object) -> bytes:
    """EXIF as ImageMagick writes it into a PNG: three lines, then hexadecimal digits."""
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else b""
    except ValueError:
        return b""
