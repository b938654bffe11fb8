"""One picture: open it, check it, turn it upright, convert it to RGB, resize it, normalise it."""

import warnings
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from captioner.errors import CaptionerError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# A decoded RGB picture stays under 250 MB. Pillow's own limit is higher, and only warns at first.
MAX_PIXELS = 80_000_000

# Only formats that Pillow decodes by itself: an EPS file, for one, would start Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

# Pillow warns of large pictures, which are refused here, and of broken metadata, which is no
# harm. Once for all: warnings.catch_warnings() is not safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

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


def open_picture(source: str | Path | BinaryIO | bytes | Image.Image) -> Image.Image:
    """Read a picture as upright RGB: EXIF rotation applied, transparency on white, 16 bits to 8.

    Raises CaptionerError, naming the source, where there is no such file, where it is not a
    picture in one of FORMATS, where it is damaged, and where it has no pixels or more than
    MAX_PIXELS; and where the source is of another type, such as an array or a generator.
    """
    if not isinstance(source, (str, Path, bytes, Image.Image)) and not hasattr(source, "read"):
        raise CaptionerError(
            f"a picture is given as {type(source).__name__}; expected a path, bytes, an open "
            "binary file or a PIL image (PIL.Image.fromarray makes one), or a list of them"
        )
    name = _name(source)
    try:
        if isinstance(source, Image.Image):  # stays open: it is the caller's
            return _decode(source, name)
        with _open(source, name) as picture:
            return _decode(picture, name)
    except CaptionerError:
        raise
    except Exception as error:  # decoders fail with OSError, SyntaxError, struct.error, ...
        raise CaptionerError(
            f"cannot decode {name}: {error}; the picture is damaged or incomplete, save it again"
        ) from error


def to_tensor(picture: Image.Image, size: int) -> torch.Tensor:
    """Squash a whole RGB picture to a square and normalise it: (3, size, size) float32.

    Bilinear with antialiasing; a value v in 0..1 becomes (v - mean) / std of ImageNet's pictures,
    channel by channel.
    """
    resized = picture.resize((size, size), Image.Resampling.BILINEAR)
    values = np.asarray(resized, dtype=np.float32) / 255
    mean, std = np.array([IMAGENET_MEAN, IMAGENET_STD], dtype=np.float32)
    values = (values - mean) / std
    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))


def grey_picture(size: int) -> Image.Image:
    """A square of ImageNet's mean colour: nothing to see, and 0 everywhere once normalised."""
    red, green, blue = (round(255 * mean) for mean in IMAGENET_MEAN)
    return Image.new("RGB", (size, size), (red, green, blue))


def _name(source: str | Path | BinaryIO | bytes | Image.Image) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    if isinstance(source, bytes):
        return f"the picture given as {len(source)} bytes"
    return str(getattr(source, "filename", "") or getattr(source, "name", "") or "the picture")


def _open(source: str | Path | BinaryIO | bytes, name: str) -> Image.Image:
    if isinstance(source, (str, Path)):
        if Path(source).is_dir():
            raise CaptionerError(f"{name} is a folder; expected a picture")
        if not Path(source).exists():
            raise CaptionerError(f"no such file: {name}")
    file = BytesIO(source) if isinstance(source, bytes) else source
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise CaptionerError(
            f"{name} is not a picture that can be read; expected one of {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise CaptionerError(_oversized(name)) from error
    except PermissionError as error:
        raise CaptionerError(f"{name} may not be read; check its permissions") from error


def _decode(picture: Image.Image, name: str) -> Image.Image:
    _check_size(picture, name)
    picture.load()
    return _to_rgb(_upright(picture))


def _check_size(picture: Image.Image, name: str) -> None:
    if not picture.width or not picture.height:
        raise CaptionerError(f"{name} has no pixels: it is {picture.width}x{picture.height}")
    if picture.width * picture.height > MAX_PIXELS:
        raise CaptionerError(_oversized(name))


def _oversized(name: str) -> str:
    return f"{name} has more than {MAX_PIXELS // 1_000_000} million pixels; make it smaller first"


def _upright(picture: Image.Image) -> Image.Image:
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG)
    except Exception:  # a broken EXIF block is no reason to refuse the pixels
        return picture
    if orientation not in _UPRIGHT:
        return picture
    return picture.transpose(_UPRIGHT[orientation])


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode[0] in "IF":  # "I", "I;16", "I;16B", "F": Pillow would clip these at 255
        return _to_eight_bits(picture).convert("RGB")
    if picture.has_transparency_data:
        picture = picture if picture.mode == "RGBA" else picture.convert("RGBA")
        opaque = Image.new("RGB", picture.size, "white")
        opaque.paste(picture, mask=picture.getchannel("A"))
        return opaque
    return picture.convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """White is 65535 or, where that is not said (32 bits, floating point), the largest value."""
    values = np.asarray(picture).astype(np.float32)  # changed in place: it may be large
    np.nan_to_num(values, copy=False)
    largest = float(values.max())
    white = 65535 if picture.mode != "F" and largest <= 65535 else max(largest, 1e-12)
    values *= 255 / white
    np.rint(values.clip(0, 255, out=values), out=values)
    return Image.fromarray(values.astype(np.uint8))
