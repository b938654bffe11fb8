"""What PATH arguments stand for: files, folders, globs, standard input and web addresses."""

import glob
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from captioner.data.picture_folder import VIDEO_SUFFIXES, pictures_in
from captioner.errors import CaptionerError

MAX_BYTES = 64 * 2**20  # from standard input


Source = Path | str | BinaryIO  # a file, a web address, or what is read when its turn comes


@dataclass(frozen=True)
class Stream:
    """A picture that is fetched when it is read, and not before.

    For Pillow, read() is all that a file needs.
    """

    name: str
    read: Callable[[], bytes]

    def __str__(self) -> str:
        return self.name


def is_one_picture(arguments: list[str]) -> bool:
    """Whether the arguments name a single picture rather than a folder, a pattern or a video."""
    if len(arguments) != 1 or _is_glob(arguments[0]) or _is_video(arguments[0]):
        return False
    return not arguments[0] or not Path(arguments[0]).is_dir()  # list_pictures refuses ""


def list_pictures(arguments: list[str], every: str | None = None) -> list[Source]:
    """List the pictures that the arguments stand for, in the order given, each folder sorted.

    every: the time between two frames of a video, such as "2s". Raises CaptionerError for one that
    is no time, a folder without pictures and a pattern that matches nothing. A file that is not
    there is found out on reading, so that the other pictures are still looked at.
    """
    seconds = _seconds("2s" if every is None else every)
    found: list[Source] = []
    for argument in arguments:
        if not argument:
            raise CaptionerError("a PATH is empty; expected a picture, a folder (such as .) or -")
        if argument == "-":
            found.append(cast(BinaryIO, Stream("-", _read_standard_input)))
        elif argument.startswith(("http://", "https://")):
            found.append(argument)
        elif _is_glob(argument):
            matches = sorted(set(_expand(argument)))
            if not matches:
                raise CaptionerError(f"{argument}: matches no file; check the pattern")
            for match in matches:
                found += _files(Path(match), seconds, is_alone=len(matches) == len(arguments) == 1)
        else:
            found += _files(Path(argument), seconds, is_alone=len(arguments) == 1)
    return found


def _files(path: Path, every: float, *, is_alone: bool) -> Sequence[Source]:
    """The pictures of a folder, the frames of a video, or a picture; every: in seconds."""
    if path.is_dir():
        return pictures_in(path)
    if not _is_video(str(path)):
        return [path]
    try:
        return _frames(path, every)
    except CaptionerError as error:
        if is_alone:
            raise
        return [cast(BinaryIO, Stream(str(path), partial(_fail, error)))]


def _fail(error: CaptionerError) -> bytes:
    """What a video among others does when its turn comes, so that the others are still read."""
    raise error


def _is_video(argument: str) -> bool:
    is_web = argument.startswith(("http://", "https://"))
    return not is_web and Path(argument).suffix.lower() in VIDEO_SUFFIXES


def _seconds(every: str) -> float:
    """The seconds between two frames of a video; CaptionerError for what is no such time."""
    seconds = re.fullmatch(r"(\d+\.?\d*)s?", every)
    if not seconds or not float(seconds[1]):
        raise CaptionerError(f"--every is {every!r}; expected seconds, such as 2s or 0.5s")
    return float(seconds[1])


def _frames(file: Path, every: float) -> list[Source]:
    """Frames of a video, each read when its turn comes; their names end in #t=SECONDS."""
    if not file.exists():
        raise CaptionerError(f"no such file: {file}")
    from captioner.data.video import frame_times, read_frame

    return [
        cast(BinaryIO, Stream(f"{file}#t={time:g}", partial(read_frame, file, time)))
        for time in frame_times(file, every)
    ]


def require_file(picture: Source) -> None:
    """Refuse a file that is not there at once; for a single picture, before seconds of loading."""
    if isinstance(picture, Path) and not picture.exists():
        raise CaptionerError(f"no such file: {picture}")
    if isinstance(picture, Path) and not picture.is_file():
        raise CaptionerError(f"{picture} is a pipe or a device; expected a picture's file, or -")


def _is_glob(argument: str) -> bool:
    if argument.startswith(("http://", "https://")) or Path(argument).exists():
        return False
    return glob.has_magic(argument)


def _expand(pattern: str) -> Iterator[str]:
    """What a pattern matches; ** is any folders, but none behind symbolic links, as in a shell.

    Links may lead back, and then each path that they make has others behind it.
    """
    parts = Path(pattern).parts
    if "**" not in parts:
        yield from glob.iglob(pattern)
        return
    before, after = parts[: parts.index("**")], parts[parts.index("**") + 1 :]
    for start in glob.iglob(os.path.join(*before)) if before else [""]:
        if not after:
            yield start or "."
            continue
        for folder, names, _ in os.walk(start or "."):
            names[:] = [name for name in names if not name.startswith(".")]
            inside = os.path.relpath(folder) if not start else folder
            parent = "" if inside == "." else glob.escape(inside)
            yield from _expand(os.path.join(parent, *after))


def _read_standard_input() -> bytes:
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not content:
        raise CaptionerError("standard input is empty; expected a picture")
    if len(content) > MAX_BYTES:
        raise CaptionerError(f"standard input holds more than {MAX_BYTES // 2**20} MiB")
    return content
