"""Frames of a video at the right times."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from captioner.cli.sources import is_one_picture, list_pictures
from captioner.data.images import open_picture
from captioner.errors import CaptionerError

av = pytest.importorskip("av", reason="wants the extra video")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five seconds, each a little brighter than the one before."""
    file = tmp_path / "clip.mp4"
    with av.open(str(file), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for number in range(50):
            pixels = np.full((64, 64, 3), 20 + 40 * (number // 10), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return file


@pytest.mark.parametrize(("every", "times"), [("2s", [0, 2, 4]), ("1", range(5)), ("9s", [0])])
def test_frames_are_those_of_their_times(clip: Path, every: str, times: list[int]) -> None:
    frames = list_pictures([str(clip)], every=every)
    assert [str(frame) for frame in frames] == [f"{clip}#t={time}" for time in times]
    for frame, time in zip(frames, times, strict=True):
        brightness = np.asarray(open_picture(frame)).mean()
        assert brightness == pytest.approx(20 + 40 * time, abs=6)
    assert not is_one_picture([str(clip)])
    matched = list_pictures([str(clip.with_name("*.mp4"))], every=every)  # as a shell expands it
    assert [str(frame) for frame in matched] == [str(frame) for frame in frames]


def test_what_is_no_video_is_one_line(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("a dog")
    for name, every, message in (
        ("text.mp4", None, "cannot be read as a video"),
        ("gone.mp4", None, "no such file"),
        ("clip.mp4", "often", "--every is 'often'; expected seconds"),
        ("clip.mp4", "0s", "--every is '0s'"),
        ("clip.mp4", "0.001", "a frame every 0.001 s is more than it has; expected 0.1 s or more"),
        ("picture.png", "", "--every is ''"),
    ):
        with pytest.raises(CaptionerError, match=message) as error:
            list_pictures([str(tmp_path / name)], every=every)
        assert "\n" not in str(error.value)


def test_a_broken_video_among_others_is_reported_when_its_turn_comes(clip: Path) -> None:
    broken = clip.with_name("broken.mp4")
    broken.write_text("a dog")
    for arguments in ([str(broken), str(clip)], [str(clip.with_name("*.mp4"))]):
        first, *frames = list_pictures(arguments, every="2s")
        with pytest.raises(CaptionerError, match="broken.mp4: cannot be read as a video"):
            open_picture(first)
        assert [str(frame) for frame in frames] == [f"{clip}#t={time}" for time in (0, 2, 4)]


def test_without_its_extra_it_says_which(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(CaptionerError, match=r"needs the extra video: pip install '\.\[video\]'"):
        list_pictures([str(clip)])


def test_a_pattern_matches_videos_too(clip: Path) -> None:
    assert list(map(str, list_pictures([f"{clip.parent}/*.mp4"], every="4s"))) == [
        f"{clip}#t=0",
        f"{clip}#t=4",
    ]


def test_a_video_that_says_how_it_was_held_is_upright(tmp_path: Path) -> None:
    file = tmp_path / "upright.mp4"
    pixels = np.zeros((64, 128, 3), dtype=np.uint8)
    pixels[:, :64] = 255  # the left half is bright
    with av.open(str(file), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 128, 64
        for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
            out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    content = bytearray(file.read_bytes())
    matrix = content.index(b"tkhd") + 44  # how to show the track: turned by 90 degrees, clockwise
    numbers = (0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *numbers)
    file.write_bytes(content)
    [frame] = list_pictures([str(file)])
    shown = np.asarray(open_picture(frame))
    assert shown.shape[:2] == (128, 64)
    assert shown[:48].mean() > 200 and shown[80:].mean() < 50  # now the upper half is
