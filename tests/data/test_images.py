"""Pictures of every kind come out upright, in RGB, in the colours they show, or as one error."""

import os
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD, open_picture, to_tensor
from captioner.errors import CaptionerError


def save(picture: Image.Image, file: Path, **options: Any) -> Path:
    picture.save(file, **options)
    return file


def corner(picture: Image.Image) -> Any:
    return picture.getpixel((0, 0))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif", "ppm"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    file = save(Image.new("RGB", (17, 11), (200, 30, 60)), tmp_path / f"a.{suffix}")
    picture = open_picture(file)
    assert picture.mode == "RGB" and picture.size == (17, 11)
    assert np.abs(np.subtract(corner(picture), (200, 30, 60))).max() <= 4  # JPEG and WebP are lossy


@pytest.mark.parametrize(
    ("mode", "colour", "shown"),
    [
        ("L", 90, (90, 90, 90)),
        ("1", 1, (255, 255, 255)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("LA", (100, 0), (255, 255, 255)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
        ("I;16", 16448, (64, 64, 64)),
    ],
)
def test_modes_of_png(tmp_path: Path, mode: str, colour: Any, shown: tuple[int, ...]) -> None:
    file = save(Image.new(mode, (7, 5), colour), tmp_path / "a.png")
    assert corner(open_picture(file)) == shown


def test_mode_i_is_sixteen_bits_unless_it_is_more(tmp_path: Path) -> None:
    for colour, shown in ((32896, 128), (1 << 20, 255)):
        file = save(Image.new("I", (7, 5), colour), tmp_path / "a.tif")
        assert corner(open_picture(file)) == (shown, shown, shown)


def test_half_transparent_is_mixed_with_white() -> None:
    assert corner(open_picture(Image.new("RGBA", (3, 2), (0, 100, 200, 51)))) == (204, 224, 244)


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putdata([0, 1])
    file = save(picture, tmp_path / "a.png", transparency=0)
    assert [open_picture(file).getpixel((column, 0)) for column in (0, 1)] == [
        (255, 255, 255),
        (0, 0, 255),
    ]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    file = save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    red, green, blue = corner(open_picture(file))
    assert red > 240 and green < 15 and blue < 15


def test_float_picture_is_scaled_by_its_largest_value(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, 1.0, 2.0]], dtype=np.float32)
    file = save(Image.fromarray(values), tmp_path / "a.tif")
    assert np.asarray(open_picture(file))[0, :, 0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3) * 10)
    # What a camera stores so that the viewer, doing what the tag says, sees `upright`.
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation](np.asarray(upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "a.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif)
    assert np.array_equal(np.asarray(open_picture(file)), np.asarray(upright))


def test_sources_agree_and_are_left_alone(tmp_path: Path) -> None:
    file = save(Image.new("RGBA", (5, 3), (1, 2, 3, 128)), tmp_path / "a.png")
    stream = BytesIO(file.read_bytes())
    given = Image.open(file)
    pictures = [open_picture(s) for s in (file, str(file), file.read_bytes(), stream, given)]
    assert len({picture.tobytes() for picture in pictures}) == 1
    assert not stream.closed and given.mode == "RGBA"
    assert open_picture(given).size == (5, 3)


def test_what_is_closed_is_not_called_damaged(tmp_path: Path) -> None:
    path = save(Image.new("RGB", (4, 4)), tmp_path / "a.png")
    closed = [path.open("rb"), BytesIO(path.read_bytes()), Image.open(path)]
    for source in closed:
        source.close()
        with pytest.raises(CaptionerError, match="is closed; open it again"):
            open_picture(source)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    file = save(Image.fromarray(noise), tmp_path / f"cut.{suffix}")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CaptionerError, match=f"cut.{suffix}") as error:
        open_picture(file)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")
def test_broken_exif_is_ignored(tmp_path: Path) -> None:
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff\x07"
    file = save(Image.new("RGB", (5, 3)), tmp_path / "a.jpg", exif=broken)
    assert open_picture(file).size == (5, 3)


def test_no_warnings_on_stderr(tmp_path: Path) -> None:
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff\x07"
    Image.new("RGB", (5, 3)).save(tmp_path / "a.jpg", exif=broken)
    (tmp_path / "large.png").write_bytes(png_header(13_000, 13_000))
    script = """
import sys
from captioner import CaptionerError
from captioner.data.images import open_picture
open_picture("a.jpg")
try:
    open_picture("large.png")
except CaptionerError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout == (
        "large.png has 169 million pixels; expected at most 160 million, make it smaller first\n"
    )


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + crc + bytes(4) + b"IDAT"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("side", [12_650, 20_000, 60_000])
def test_oversized_is_refused_before_decoding(side: int) -> None:
    with pytest.raises(CaptionerError, match="expected at most 160 million"):
        open_picture(png_header(side, side))


def test_not_a_picture(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    cases: dict[Any, str] = {
        tmp_path / "none.jpg": "no such file: .*none.jpg",
        tmp_path: "is a folder",
        text: "notes.jpg is not a picture",
        b"": "0 bytes is not a picture",
        # PostScript would be handed to another program
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n": "is not a picture",
    }
    for source, message in cases.items():
        with pytest.raises(CaptionerError, match=message):
            open_picture(source)
    with pytest.raises(CaptionerError, match="no pixels: it is 0x4"):
        open_picture(Image.new("RGB", (0, 4)))


def test_to_tensor_normalises_each_channel() -> None:
    features = to_tensor(Image.new("RGB", (13, 7), (255, 0, 51)), size=5)
    assert features.shape == (3, 5, 5) and features.dtype == torch.float32
    for channel, value in enumerate((1.0, 0.0, 0.2)):
        expected = (value - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel]
        assert torch.allclose(features[channel], torch.tensor(expected), atol=1e-5)


def test_to_tensor_squashes_the_whole_picture() -> None:
    picture = Image.new("RGB", (20, 4), "black")
    picture.paste("white", (10, 0, 20, 4))  # the right half
    features = to_tensor(picture, size=4)
    assert features[0, :, 0].max() < 0 < features[0, :, 3].min()


def test_to_tensor_equals_torchvision() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    noise = np.random.default_rng(0).integers(0, 255, (61, 83, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    reference = transforms.Compose(
        [
            transforms.Resize((29, 29)),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    assert torch.allclose(to_tensor(picture, 29), reference(picture), atol=1e-5)


@pytest.mark.parametrize(
    ("largest", "white"),
    [(65535, 65535), (40000, 65535), (16384, 65535), (4095, 4095), (4000, 4095), (1023, 1023)],
)
def test_white_of_16_bits_is_that_of_the_camera(tmp_path: Path, largest: int, white: int) -> None:
    """10 and 12 bits in 16 would be nearly black; a file of the full range stays as it is."""
    values = np.array([[0, largest // 2, largest]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    opened = np.asarray(open_picture(tmp_path / "a.png"))[0, :, 0]
    assert opened.tolist() == np.rint(values[0] * (255 / white)).astype(int).tolist()


def test_arrays_are_pictures() -> None:
    array = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert np.array_equal(np.asarray(open_picture(array)), array)


@pytest.mark.parametrize(
    "array",
    [np.zeros((5, 7), np.uint8), np.zeros((5, 7, 3), np.float32), np.zeros((0, 7, 3), np.uint8)],
)
def test_other_arrays_are_one_line(array: np.ndarray) -> None:
    with pytest.raises(CaptionerError, match=r"expected \(rows, columns, 3\) of uint8"):
        open_picture(array)


def test_a_file_that_is_open_as_text(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with (
        (tmp_path / "a.png").open(encoding="latin-1") as file,
        pytest.raises(CaptionerError, match="open as text; open it in binary mode"),
    ):
        open_picture(file)  # type: ignore[arg-type]


def test_bytearrays_are_bytes() -> None:
    content = BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    assert open_picture(bytearray(content.getvalue())).getpixel((0, 0)) == (255, 0, 0)


def test_heic_without_its_extra_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(CaptionerError, match=r"needs the extra heif: pip install '\.\[heif\]'"):
        open_picture(b"\0\0\0\x20ftypheic" + bytes(100))


def test_heic_as_phones_take_it() -> None:
    heif = pytest.importorskip("pillow_heif", reason="wants the extra heif")
    heif.register_heif_opener()
    content = BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 40)).save(content, "HEIF", quality=95)
    opened = open_picture(content.getvalue())
    assert opened.size == (64, 48)
    assert np.abs(np.array(corner(opened)) - (200, 30, 40)).max() < 8
