"""One picture: open it, check it, turn it upright, convert it to RGB, resize it, normalise it."""

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from captioner.data.picture_bounds import (
    MAX_BYTES,
    MAX_PIXELS,
    BoundedContent,
    check_length,
    check_pixels,
    check_tiff,
    choose_scale,
    ignored_warnings,
)
from captioner.data.picture_metadata import orientation_of, strip_jpeg, turn_upright
from captioner.errors import CaptionerError, PictureTooLarge

if TYPE_CHECKING:
    import torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Each channel's 256 values as `to_array` normalises them: looking them up is faster.
_NORMALISED = [
    (np.arange(256, dtype=np.float32) / 255 - np.float32(mean)) / np.float32(std)
    for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)
]

# Only formats that Pillow decodes by itself: an EPS file, for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")

WEB_BYTES, WEB_SECONDS = 64 * 2**20, 30  # of a web address
_STRIP_PIXELS = 4_000_000  # converted to RGB at once


def open_picture(
    source: str | Path | BinaryIO | bytes | Image.Image | NDArray[np.uint8],
    *,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Read a picture as upright RGB: EXIF rotation applied, transparency on white, 16 bits to 8.

    One of more than FULL_PIXELS, or that would take too much memory, comes at half its width and
    height, a JPEG file if need be at a quarter or an eighth. Raises CaptionerError, naming the
    source, where there is no such file, where it is not a picture in one of FORMATS, where it is
    damaged, where it has no pixels or (PictureTooLarge) exceeds max_pixels or a bound of
    picture_bounds; and where the source is of another type, such as a generator.
    """
    if isinstance(source, (bytearray, memoryview)):
        source = bytes(source)
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if not isinstance(source, (str, Path, bytes, Image.Image)) and not hasattr(source, "read"):
        raise CaptionerError(
            f"a picture is given as {type(source).__name__}; expected a path, bytes, an open "
            "binary file, a PIL image, an array (rows, columns, 3) of uint8, or a list of them"
        )
    name = _name(source)
    try:
        with ignored_warnings():
            if isinstance(source, Image.Image):  # stays open: it is the caller's
                scale = choose_scale(source, b"", name, max_pixels)
                _load(source, name)
                upright = turn_upright(_to_rgb(source, scale), _orientation(source))
            else:
                upright = turn_upright(*_decode(_read(source, name), name, max_pixels))
        return upright
    except CaptionerError:
        raise
    except MemoryError as error:
        raise PictureTooLarge(
            f"{name} takes more memory to decode than there is; make it smaller first"
        ) from error
    except Exception as error:  # decoders fail with OSError, SyntaxError, struct.error, ...
        # One that is written in C wraps what reading the content raises.
        if isinstance(error.__cause__, PictureTooLarge):
            raise error.__cause__ from None
        raise CaptionerError(
            f"cannot decode {name}: {error}; the picture is damaged or incomplete, save it again"
        ) from error


def to_array(picture: Image.Image, size: int) -> NDArray[np.float32]:
    """Squash a whole RGB picture to a square and normalise it: (3, size, size).

    Bilinear with antialiasing; a value v in 0..1 becomes (v - mean) / std of ImageNet's pictures,
    channel by channel.
    """
    resized = picture.resize((size, size), Image.Resampling.BILINEAR)
    planes = [
        values[np.asarray(channel)]
        for values, channel in zip(_NORMALISED, resized.split(), strict=True)
    ]
    return np.stack(planes)


def to_tensor(picture: Image.Image, size: int) -> "torch.Tensor":
    """The pixels of `to_array` as a tensor: (3, size, size) float32."""
    import torch  # here, so that a process that only decodes pictures does without

    return torch.from_numpy(to_array(picture, size))


def grey_picture(size: int) -> Image.Image:
    """A square of ImageNet's mean colour: nothing to see, and 0 everywhere once normalised."""
    red, green, blue = (round(255 * mean) for mean in IMAGENET_MEAN)
    return Image.new("RGB", (size, size), (red, green, blue))


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise CaptionerError(
            f"a picture is given as an array of shape {array.shape} and type {array.dtype}; "
            "expected (rows, columns, 3) of uint8, red, green, blue"
        )
    return Image.fromarray(array)


def _load(picture: Image.Image, name: str) -> None:
    try:
        picture.load()
    except ValueError as error:
        raise CaptionerError(
            f"{name} is closed; open it again, or give its path ({error})"
        ) from error


def _name(source: str | Path | BinaryIO | bytes | Image.Image) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, bytes):
        return f"the picture given as {len(source)} bytes"
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the picture")


def _read(source: str | Path | BinaryIO | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        content = source
    elif isinstance(source, str) and source.startswith(("http://", "https://")):
        from captioner.data.web import fetch  # slow to import

        content = fetch(source, max_bytes=WEB_BYTES, seconds=WEB_SECONDS)
    elif isinstance(source, (str, Path)):
        if not name:
            raise CaptionerError("the path of a picture is empty; expected a picture")
        if Path(source).is_dir():
            raise CaptionerError(f"{name} is a folder; expected a picture")
        if not Path(source).exists():
            return _read_from_shard(source, name)
        if not Path(source).is_file():  # a pipe may wait for ever, a device has no end
            raise CaptionerError(f"{name} is a pipe or a device; expected a picture's file")
        try:
            with Path(source).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except PermissionError as error:
            raise CaptionerError(f"{name} may not be read; check its permissions") from error
    else:
        if getattr(source, "closed", False):
            raise CaptionerError(f"{name} is closed; open it again, or give its path")
        if hasattr(source, "seek"):
            with suppress(OSError):  # what cannot go back, a pipe for one, is read on from here
                source.seek(0)
        if isinstance(source, io.TextIOBase):
            raise CaptionerError(f"{name} is open as text; open it in binary mode, 'rb'")
        content = source.read()
    check_length(len(content), name)
    return content


def _read_from_shard(source: str | Path, name: str) -> bytes:
    """The bytes of a picture in a tar file, whose path goes on behind that of the tar file."""
    from captioner.data.shards import read_member  # most pictures are in files of their own

    content = read_member(source)
    if content is None:
        raise CaptionerError(f"no such file: {name}")
    check_length(len(content), name)
    return content


def _decode(content: bytes, name: str, max_pixels: int) -> tuple[Image.Image, int]:
    """A picture as RGB, not yet upright, and its EXIF orientation."""
    orientation = None
    if content.startswith(b"\xff\xd8\xff"):
        content, orientation = strip_jpeg(content, name)
    check_tiff(content, name)
    with _open(content, name, max_pixels) as picture:
        scale = choose_scale(picture, content, name, max_pixels)
        if scale > 1 and picture.format == "JPEG":
            picture.draft(None, (picture.width // scale, picture.height // scale))
            scale = 1
        picture.load()
        if orientation is None:  # a TIFF file's metadata is read within the bounds of its content
            read = _orientation if picture.format == "TIFF" else orientation_of
            orientation = read(picture)
        return _to_rgb(picture, scale), orientation


def _open(content: bytes, name: str, max_pixels: int) -> Image.Image:
    formats: tuple[str, ...] = FORMATS
    if content[4:8] == b"ftyp":
        from captioner.data.picture_folder import HEIF_BRANDS

        if content[8:12] in HEIF_BRANDS:
            formats = (*FORMATS, _heif(name))
    try:
        return Image.open(BoundedContent(content, name), formats=formats)
    except UnidentifiedImageError as error:
        raise CaptionerError(
            f"{name} is not a picture that can be read; expected one of {', '.join(formats)}"
        ) from error
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        check_pixels(int(pixels[0]) if pixels else max_pixels + 1, name, max_pixels)
        raise


def _heif(name: str) -> str:
    """Register the HEIF format with Pillow and return its name."""
    try:
        import pillow_heif
    except ImportError as error:
        raise CaptionerError(
            f"{name} is a HEIC picture, which needs the extra heif: pip install '.[heif]'"
        ) from error
    pillow_heif.register_heif_opener()
    return "HEIF"


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 0)
    except Exception:  # a broken EXIF block is no reason to refuse the pixels
        return 0


def _to_rgb(picture: Image.Image, scale: int) -> Image.Image:
    """A copy in RGB, made strip by strip, since conversions take several times their memory."""
    white = _white(picture) if picture.mode[0] in "IF" else 0
    if scale == 1 and picture.height <= _strip_rows(picture):
        return _convert(picture, white)
    rgb = Image.new("RGB", (-(-picture.width // scale), -(-picture.height // scale)))
    for top, strip in _strips(picture):
        converted = _convert(strip, white)
        rgb.paste(converted.reduce(scale) if scale > 1 else converted, (0, top // scale))
    return rgb


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Where each strip begins, at a multiple of 8 rows, and the strip."""
    rows = _strip_rows(picture)
    for top in range(0, picture.height, rows):
        yield top, picture.crop((0, top, picture.width, min(top + rows, picture.height)))


def _strip_rows(picture: Image.Image) -> int:
    return max(8, _STRIP_PIXELS // picture.width // 8 * 8)


def _convert(picture: Image.Image, white: float) -> Image.Image:
    """Convert to RGB; white: of a picture of other than 8 bits, what becomes 255."""
    if picture.mode[0] in "IF":  # "I", "I;16", "I;16B", "F": Pillow would clip these at 255
        values = _finite(picture) * (255 / white)
        return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8)).convert("RGB")
    if picture.mode in ("La", "RGBa"):  # colours multiplied by their opacity
        picture = picture.convert(picture.mode.upper())
    if picture.has_transparency_data:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        opaque = Image.new("RGB", picture.size, "white")
        opaque.paste(picture, mask=picture.getchannel("A"))
        return opaque
    return picture.convert("RGB")


def _white(picture: Image.Image) -> float:
    """The value of white: 65535, or less where the largest value is less than a quarter of that.

    Cameras and scanners store 10, 12 or 14 bits in 16: white is then the largest value of so many
    bits. Where the range is not known (32 bits, floating point), it is the largest value.
    """
    largest = max(float(_finite(strip).max()) for _, strip in _strips(picture))
    if picture.mode == "F" or largest > 65535:
        return max(largest, 1e-12)
    return 65535 if largest > 65535 / 4 else max(1, 2 ** int(largest).bit_length() - 1)


def _finite(picture: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(picture).astype(np.float32))
