"""Frames of a video file as pictures (extra `video`, which is PyAV)."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.errors import CaptionerError

if TYPE_CHECKING:
    import av


def frame_times(file: Path, every: float) -> list[float]:
    """The times from 0 on, `every` seconds apart, at which a video has a frame.

    Raises CaptionerError where PyAV is not installed, the file is no video, or its frames are
    further apart than `every`.
    """
    with _open(file) as video:
        stream = video.streams.video[0]
        rate = float(stream.average_rate or 0)  # frames per second, where the file says it
        if every * rate < 0.99 and rate:
            raise CaptionerError(
                f"{file}: a frame every {every:g} s is more than it has; expected {1 / rate:.2g} s "
                "or more"
            )
        if video.duration:
            duration = video.duration / 1_000_000  # in units of av.time_base
        elif stream.duration and stream.time_base:
            duration = float(stream.duration * stream.time_base)
        else:
            raise CaptionerError(f"{file}: a video that does not say how long it is")
    return [number * every for number in range(max(1, math.ceil(duration / every)))]


def read_frame(file: Path, seconds: float) -> bytes:
    """The frame that a video shows at this time, as PNG; CaptionerError if it cannot be decoded."""
    import av

    shown = None
    try:
        with _open(file) as video:
            stream = video.streams.video[0]
            video.seek(int(seconds * 1_000_000), backward=True)
            for frame in video.decode(stream):
                if shown is not None and frame.time is not None and frame.time > seconds + 1e-6:
                    break
                shown = frame
    except av.FFmpegError as error:
        raise CaptionerError(f"{file}: no frame at {seconds:g} s ({error})") from error
    if shown is None:
        raise CaptionerError(f"{file}: no frame at {seconds:g} s")
    content = io.BytesIO()
    upright = shown.to_image().rotate(shown.rotation, expand=True)  # as it was held
    upright.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _open(file: Path) -> "av.container.InputContainer | Any":
    try:
        import av
    except ImportError as error:
        raise CaptionerError(
            f"{file} is a video, which needs the extra video: pip install '.[video]'"
        ) from error
    try:
        opened = av.open(str(file))
    except (OSError, av.FFmpegError) as error:
        raise CaptionerError(f"{file}: cannot be read as a video ({error})") from error
    if not opened.streams.video:
        opened.close()
        raise CaptionerError(f"{file}: holds no video")
    return opened
