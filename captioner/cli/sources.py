"""What PATH arguments stand for: files, folders, globs, standard input and web addresses."""

import glob
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from captioner.data.picture_folder import pictures_in
from captioner.errors import CaptionerError

MAX_BYTES = 64 * 2**20
TIMEOUT_SECONDS = 30
_IN_URLS = "%/:=&?~#+!$,;'@()*[]"  # what stands for itself in a web address


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
    """Whether the arguments name a single picture rather than a folder or a pattern of them."""
    return len(arguments) == 1 and not Path(arguments[0]).is_dir() and not _is_glob(arguments[0])


def list_pictures(arguments: list[str]) -> list[Path | BinaryIO]:
    """List the pictures that the arguments stand for, in the order given, each folder sorted.

    Raises CaptionerError for a folder without pictures and a pattern that matches nothing. A file
    that is not there is found out on reading, so that the other pictures are still looked at.
    """
    found: list[Path | BinaryIO] = []
    for argument in arguments:
        if argument == "-":
            found.append(cast(BinaryIO, Stream("-", _read_standard_input)))
        elif argument.startswith(("http://", "https://")):
            found.append(cast(BinaryIO, Stream(argument, partial(_download, argument))))
        elif Path(argument).is_dir():
            found += pictures_in(Path(argument))
        elif _is_glob(argument):
            matches = sorted(glob.glob(argument, recursive=True))
            if not matches:
                raise CaptionerError(f"{argument}: matches no file; check the pattern")
            for match in matches:
                found += pictures_in(Path(match)) if Path(match).is_dir() else [Path(match)]
        else:
            found.append(Path(argument))
    return found


def require_file(picture: Path | BinaryIO) -> None:
    """Refuse a file that is not there at once; for a single picture, before seconds of loading."""
    if isinstance(picture, Path) and not picture.exists():
        raise CaptionerError(f"no such file: {picture}")


def _is_glob(argument: str) -> bool:
    if argument.startswith(("http://", "https://")) or Path(argument).exists():
        return False
    return glob.has_magic(argument)


def _read_standard_input() -> bytes:
    content = sys.stdin.buffer.read(MAX_BYTES + 1)
    if not content:
        raise CaptionerError("standard input is empty; expected a picture")
    if len(content) > MAX_BYTES:
        raise CaptionerError(f"standard input holds more than {MAX_BYTES // 2**20} MB")
    return content


def _download(url: str) -> bytes:
    """Fetch a web address whole, within MAX_BYTES and TIMEOUT_SECONDS."""
    from http.client import HTTPException  # with ssl, a fifth of the time that --help takes
    from urllib.parse import quote
    from urllib.request import Request, urlopen

    deadline = time.monotonic() + TIMEOUT_SECONDS
    content = bytearray()
    try:
        request = Request(quote(url, _IN_URLS), headers={"User-Agent": "captioner"})
        with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            # read1 returns what has arrived, so that a server that trickles meets the deadline.
            while chunk := response.read1(2**16):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise CaptionerError(f"{url}: larger than {MAX_BYTES // 2**20} MB")
                if time.monotonic() > deadline:
                    raise CaptionerError(f"{url}: not here after {TIMEOUT_SECONDS} seconds")
            if response.length:
                raise CaptionerError(f"{url}: the connection broke off; try again")
    # URLError and a timeout are OSErrors; a port that is no number is an HTTPException.
    except (OSError, HTTPException, ValueError) as error:
        raise CaptionerError(f"{url}: cannot be fetched ({error})") from error
    return bytes(content)
