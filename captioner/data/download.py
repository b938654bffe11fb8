"""Download one file over HTTP: resumed where it broke off, and kept only if it is the right one."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from captioner.errors import CaptionerError

CHUNK = 1 << 20  # bytes
TIMEOUT = 60  # seconds without a byte
MAX_FAILURES = 5  # in a row, without getting further than ever before

# Told what is being done, and how many bytes of how many are done.
Progress = Callable[[str, int, int], None]


def download(url: str, file: Path, *, size: int, md5: str, progress: Progress) -> None:
    """Download a file of known size (bytes) and MD5 checksum.

    What has arrived waits in `<file>.part`, also for another call; the file appears once it is
    complete and checked. Raises CaptionerError where the server does not have the file or has
    another one, where the connection keeps breaking, and where the disk is full.
    """
    partial = file.with_name(f"{file.name}.part")
    if _length(partial) > size:
        partial.unlink()  # left over from something else
    furthest, failures = _length(partial), 0
    while _length(partial) != size:
        reason = _attempt(url, partial, size, progress)
        length = _length(partial)
        failures = 0 if length > furthest else failures + 1
        furthest = max(furthest, length)
        if failures == MAX_FAILURES:
            raise CaptionerError(
                f"cannot download {url}: {reason}; {length} of {size} bytes are here, "
                "run the same command again to go on"
            )
        if length != size:
            time.sleep(min(2**failures, 60))
    found = _md5(partial, size, progress)
    if found != md5:
        partial.unlink()
        raise CaptionerError(
            f"{url} has the MD5 checksum {found}, expected {md5}; it was damaged on the way or is "
            "another file, and has been deleted: run the same command again"
        )
    partial.replace(file)


def _attempt(url: str, partial: Path, size: int, progress: Progress) -> str:
    """Add to the partial file what one connection yields; returns why there was no more."""
    start = _length(partial)
    progress(f"downloading {partial.stem}", start, size)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            start, total = _extent(response, start)
            if total not in (None, size):
                raise CaptionerError(
                    f"{url} has {total} bytes, expected {size}; it is not the file that is wanted"
                )
            _receive(response, partial, start, size, progress)
    except urllib.error.HTTPError as error:
        if error.code < 500 and error.code not in (408, 429):  # asking again will not help
            raise CaptionerError(f"cannot download {url}: {error}; check the address") from error
        return str(error)
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    return "the connection broke off"


def _extent(response: http.client.HTTPResponse, asked: int) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the whole file is, if the server says."""
    if response.status == 206:
        extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if not extent or int(extent[1]) != asked:
            raise http.client.HTTPException("the server sent another part than it was asked for")
        return asked, int(extent[2])
    length = response.headers.get("Content-Length")  # from the beginning: it cannot resume
    return 0, int(length) if length else None


def _receive(
    response: http.client.HTTPResponse, partial: Path, start: int, size: int, progress: Progress
) -> None:
    with partial.open("r+b" if start else "wb") as output:
        output.seek(start)
        while start < size and (chunk := response.read(min(CHUNK, size - start))):
            try:
                output.write(chunk)
                output.flush()
            except OSError as error:  # not the network's fault: trying again will not help
                raise CaptionerError(
                    f"cannot write {partial}: {error.strerror}; make room and run the same "
                    "command again to go on"
                ) from error
            start += len(chunk)
            progress(f"downloading {partial.stem}", start, size)


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _md5(file: Path, size: int, progress: Progress) -> str:
    total = hashlib.md5(usedforsecurity=False)
    done = 0
    with file.open("rb") as content:
        while chunk := content.read(CHUNK):
            total.update(chunk)
            done += len(chunk)
            progress(f"checking {file.stem}", done, size)
    return total.hexdigest()
