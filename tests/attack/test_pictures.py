"""Small files that would take minutes or gigabytes to decode, and large ones that may be large."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import hostile_pictures as pictures
import numpy as np
import pytest
from PIL import Image, ImageFile

from captioner.data import picture_bounds
from captioner.data.images import open_picture
from captioner.errors import CaptionerError, PictureTooLarge

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "progressive scans": (lambda: pictures.many_scans(64, 600), "has 610 scans; .* 500"),
    "sequential scans": (
        lambda: pictures.many_scans(64, 600, progressive=False), "has 601 scans; .* 500"
    ),
    "scans of many pixels": (
        lambda: pictures.many_scans(3000, 300), "310 scans of 9.0 million pixels; .* 2000 million"
    ),
    "JPEG segments": (
        lambda: pictures.with_segments(0xE5, b"", 10_001), "more than 10000 segments"
    ),
    "long side": (lambda: pictures.png(1, 65_536), "a side of 65536 pixels; .* 65535"),
    "memory of WebP": (
        lambda: pictures.save(Image.new("L", (5000, 5000)), "WEBP"), "take 375 MB .* 360 MB"
    ),
    "memory of JPEG 2000": (
        lambda: pictures.save(Image.new("L", (4300, 4300)), "JPEG2000"), "take 370 MB .* 360 MB"
    ),
    "TIFF strips": (lambda: pictures.many_strips(200_000), "200000 strips; .* 131070"),
    "TIFF references": (
        lambda: pictures.many_references(500, 100_000), "48 MiB of metadata; .* 1 MiB"
    ),
    "TIFF entries": (lambda: pictures.big_tiff(70_000), "more entries; .* 65535"),
    "TIFF of JPEG": (
        lambda: pictures.jpeg_in_tiff(4500, 200), "100 scans of 20.2 million pixels"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_exceeds_a_bound_is_refused_before_it_is_decoded(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, message = REFUSED[case]
    content = make()

    def decode(_: object) -> None:
        raise AssertionError("its pixels were decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    with pytest.raises(CaptionerError, match=message) as error:
        open_picture(content)
    assert "\n" not in str(error.value)


def test_memory_is_bounded_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_bounds, "MAX_MEMORY", 1_000_000)
    with pytest.raises(CaptionerError, match=r"500x500 pixels, which take 1 MB .* at most 1 MB"):
        open_picture(pictures.noise(500, 500, "PNG"))
    assert open_picture(pictures.noise(400, 400, "PNG")).size == (200, 200)
    assert open_picture(pictures.noise(300, 300, "PNG")).size == (300, 300)


@pytest.mark.parametrize(
    "make",
    [
        lambda: pictures.commented_ppm(400_000),
        lambda: pictures.deep_ppm(300),
        lambda: pictures.run_length_bmp(400, 400),
        lambda: pictures.png(8, 8, extra=40_000 * pictures.chunk(b"abCd", b"")),
    ],
    ids=["PPM comment", "PPM of 16 bits", "BMP runs", "PNG chunks"],
)
def test_what_takes_too_long_is_broken_off(
    make: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = make()
    assert open_picture(content).mode == "RGB"  # in time
    monkeypatch.setattr(picture_bounds, "MAX_SECONDS", 0.02)
    with pytest.raises(CaptionerError, match=r"takes more than 0.02 seconds to decode"):
        open_picture(content)


def test_metadata_costs_nothing() -> None:
    """Pillow would join EXIF blocks one by one, and read 64 KB for every entry of one."""
    referring = pictures.exif_entries(65_000, 5000, orientation=6)
    for payload, count in ((b"Exif\0\0" + bytes(60_000), 250), (b"Exif\0\0" + referring, 1)):
        content = pictures.with_segments(0xE1, payload, count, size=32)
        assert open_picture(content).size == (32, 32)
    png = pictures.png(8, 4, extra=pictures.chunk(b"eXIf", referring))
    assert open_picture(png).size == (4, 8)
    assert open_picture(pictures.commented_gif(2000)).size == (8, 8)
    with pytest.raises(CaptionerError, match="is not a picture"):  # and not after hours
        open_picture(pictures.many_directories(60_000))


def test_scans_of_an_embedded_preview_do_not_count() -> None:
    preview = pictures.many_scans(16, 600)[:60_000]
    content = pictures.with_segments(0xE1, b"Exif\0\0" + preview, 1)
    assert open_picture(content).size == (64, 64)
    assert open_picture(pictures.many_scans(64, 0) + preview).size == (64, 64)  # after its end


def test_nothing_can_end_the_counting_of_scans_early() -> None:
    """What looks like the end of a picture may stand in a comment between two scans."""
    content = pictures.many_scans(64, 600)
    second = content.index(b"\xff\xda", content.index(b"\xff\xda") + 2)
    hidden = content[:second] + b"\xff\xfe\0\4\xff\xd9" + content[second:]
    with pytest.raises(CaptionerError, match="has 610 scans"):
        open_picture(hidden)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_large_pictures_come_at_half_their_size(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strip by strip: the same as the whole."""
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8))
    content = pictures.save(smooth.resize((301, 203)), form)
    whole = open_picture(content)
    monkeypatch.setattr(picture_bounds, "FULL_PIXELS", 60_000)
    half = open_picture(content)
    assert half.size == (151, 102)
    difference = np.asarray(half, int) - np.asarray(whole.reduce(2), int)
    assert np.abs(difference).max() <= (8 if form == "JPEG" else 0)  # of 255


def test_strips_of_a_picture_are_converted_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from captioner.data import images

    noise = np.random.default_rng(0).integers(0, 2**16, (50, 30))
    sources = [
        Image.fromarray(noise.astype(np.uint16)),
        Image.fromarray(noise.astype(np.float32) / 7),
        Image.fromarray((noise[:, :, None] >> np.arange(4)).astype(np.uint8)),
        Image.fromarray(noise.astype(np.uint8)).convert("P"),
    ]
    wholes = [open_picture(source).tobytes() for source in sources]
    monkeypatch.setattr(images, "_STRIP_PIXELS", 300)
    assert [open_picture(source).tobytes() for source in sources] == wholes


LARGE = """
import resource
from pathlib import Path
from types import SimpleNamespace
from captioner.data.images import open_picture
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + 400_000_000
resource.setrlimit(resource.RLIMIT_AS, (most, most))
resource.setrlimit(resource.RLIMIT_CPU, (25, 25))
for name in ("baseline.jpg", "progressive.jpg", "scans.jpg", "grey.png"):
    print(*open_picture(name).size)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded as Linux does it")
def test_the_largest_pictures_take_400_megabytes(tmp_path: Path) -> None:
    plain = Image.new("L", (10_000, 10_000), 90)
    plain.save(tmp_path / "baseline.jpg")
    plain.resize((7000, 7000)).convert("RGB").save(tmp_path / "progressive.jpg", progressive=True)
    (tmp_path / "scans.jpg").write_bytes(pictures.many_scans(2000, 480))
    plain.save(tmp_path / "grey.png", compress_level=1)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LARGE],
        cwd=tmp_path, capture_output=True, text=True, timeout=100,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == ["5000 5000", "3500 3500", "2000 2000", "5000 5000"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "JPEG2000"])
def test_what_takes_too_long_is_said_whatever_the_decoder_is_written_in(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from captioner.data import images

    def choose_scale(*given: object) -> int:
        monkeypatch.setattr(picture_bounds, "time", SimpleNamespace(thread_time=lambda: 1e9))
        return 1

    monkeypatch.setattr(images, "choose_scale", choose_scale)
    with pytest.raises(PictureTooLarge, match="takes more than 4 seconds to decode"):
        open_picture(pictures.noise(600, 600, form))


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero")):
        with pytest.raises(CaptionerError, match="is a pipe or a device"):
            open_picture(path)


def test_warnings_are_ignored_only_while_a_picture_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(open_picture, [pictures.noise(100, 100, "PNG")] * 50))
        assert warnings.filters == before
