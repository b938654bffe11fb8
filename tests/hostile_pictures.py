"""Pictures that are small as files and made to take long, or much memory, to decode."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

MIB = 2**20


def save(picture: Image.Image, form: str, **options: object) -> bytes:
    with io.BytesIO() as content:
        picture.save(content, form, **options)
        return content.getvalue()


def many_scans(side: int, scans: int, *, progressive: bool = True) -> bytes:
    """A JPEG whose last scan, of a few bytes, is there many times."""
    content = save(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=progressive)
    start = content.rfind(b"\xff\xda")
    return content[:-2] + scans * content[start:-2] + content[-2:]


def with_segments(kind: int, payload: bytes, count: int, *, size: int = 64) -> bytes:
    """A JPEG with the same segment many times before its pixels."""
    segment = bytes([0xFF, kind]) + struct.pack(">H", len(payload) + 2) + payload
    content = save(Image.new("RGB", (size, size), "teal"), "JPEG")
    return content[:2] + count * segment + content[2:]


def exif_entries(length: int, entries: int, *, orientation: int = 1) -> bytes:
    """EXIF metadata whose entries all refer to the same bytes."""
    table = struct.pack("<HHLL", 0x0112, 3, 1, orientation)
    for tag in range(0x0113, 0x0113 + entries - 1):
        table += struct.pack("<HHLL", tag, 7, length - 8, 8)
    head = b"II*\0" + struct.pack("<L", 8) + struct.pack("<H", entries) + table + bytes(4)
    return head.ljust(length, b"\0")


def png(width: int, height: int, *, rows: bytes | None = None, extra: bytes = b"") -> bytes:
    """A grey PNG; rows: its data, each row after a 0; extra: chunks before them."""
    if rows is None:
        compressor = zlib.compressobj(9)
        row = bytes(width + 1)
        data = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    else:
        data = zlib.compress(rows, 9)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )  # fmt: skip


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def commented_gif(comments: int) -> bytes:
    """A GIF with a comment of so many blocks, which readers put together one by one."""
    content = save(Image.new("P", (8, 8)), "GIF")
    start = content.index(b"\x2c")
    return (
        content[:start] + b"\x21\xfe" + comments * (b"\xff" + 255 * b"c") + b"\0" + content[start:]
    )


def commented_ppm(length: int) -> bytes:
    return b"P6\n#" + length * b"c" + b"\n8 8\n255\n" + bytes(8 * 8 * 3)


def deep_ppm(side: int) -> bytes:
    """A PPM of 16 bits, which Pillow decodes sample by sample in Python."""
    return b"P6 %d %d 65535\n" % (side, side) + bytes(side * side * 6)


def run_length_bmp(width: int, height: int) -> bytes:
    """A BMP in run-length encoding, whose runs have one pixel each."""
    data = (width * b"\x01\x07" + b"\0\0") * height + b"\0\1"
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + 40 + 1024
    return b"BM" + struct.pack("<LLL", start + len(data), 0, start) + header + bytes(1024) + data


def tiff(entries: dict[int, tuple[int, int, int]], tail: bytes) -> bytes:
    """A TIFF file of these entries (tag: type, count, value) and what follows them at 1000."""
    table = b"".join(struct.pack("<HHLL", tag, *entry) for tag, entry in sorted(entries.items()))
    head = b"II*\0" + struct.pack("<LH", 8, len(entries)) + table + bytes(4)
    return head.ljust(1000, b"\0") + tail


def many_strips(count: int) -> bytes:
    """A TIFF file with a list of strips that is far longer than the picture."""
    entries = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    entries |= {273: (4, count, 1000), 277: (3, 1, 1), 278: (3, 1, 1), 279: (4, count, 1000)}
    return tiff(entries, struct.pack("<L", 1000) * count)


def many_references(entries: int, length: int) -> bytes:
    """A TIFF file whose entries all refer to the same bytes."""
    known = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1)}
    known |= {273: (4, 1, 1000), 277: (3, 1, 1), 278: (3, 1, 8), 279: (4, 1, 64)}
    known |= {tag: (7, length, 1000) for tag in range(40000, 40000 + entries)}
    table = b"".join(struct.pack("<HHLL", tag, *entry) for tag, entry in sorted(known.items()))
    head = b"II*\0" + struct.pack("<LH", 8, len(known)) + table + bytes(4)
    return head + bytes(length + 1000)


def big_tiff(entries: int) -> bytes:
    """A TIFF file in its large form, with more entries than there are tags."""
    table = entries * struct.pack("<HHQQ", 40000, 7, 4, 0)
    return b"II\x2b\0\x08\0\0\0" + struct.pack("<QQ", 16, entries) + table + bytes(8)


def many_directories(entries: int) -> bytes:
    """A TIFF file whose entries each say that its EXIF directory is this one too."""
    table = entries * struct.pack("<HHLL", 0x8769, 4, 1, 8)
    return b"II*\0" + struct.pack("<LH", 8, entries) + table + bytes(4)


def jpeg_in_tiff(side: int, scans: int) -> bytes:
    """A TIFF file with one strip that is a JPEG of many scans."""
    strip = many_scans(side, scans)
    entries = {256: (4, 1, side), 257: (4, 1, side), 258: (3, 3, 900), 259: (3, 1, 7)}
    entries |= {262: (3, 1, 6), 273: (4, 1, 1000), 277: (3, 1, 3), 278: (4, 1, side)}
    entries |= {279: (4, 1, len(strip)), 530: (3, 2, 0x00020002)}
    content = bytearray(tiff(entries, strip))
    content[900:906] = struct.pack("<HHH", 8, 8, 8)
    return bytes(content)


def noise(width: int, height: int, form: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return save(Image.fromarray(pixels), form, **options)
