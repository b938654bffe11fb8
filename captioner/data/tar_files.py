"""Tar files of pictures, such as WebDataset's shards, read from their beginning to their end."""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from captioner.data.addresses import open_file, reported
from captioner.data.picture_bounds import MAX_BYTES
from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.errors import CaptionerError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_BLOCK = tarfile.BLOCKSIZE


class CutShort(CaptionerError):
    """A file of many pictures that ends, or is damaged, after some of them."""


def is_tar(name: str | Path) -> bool:
    """Whether a file is a tar file, by its name."""
    return str(name).lower().endswith(TAR_SUFFIXES)


def is_picture_member(member: tarfile.TarInfo) -> bool:
    """Whether a member of a tar file is a picture, by its name; hidden files are none."""
    path = PurePosixPath(member.name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts if part != ".")
    return member.isfile() and not hidden and path.suffix.lower() in PICTURE_SUFFIXES


def pictures_of_tar(name: str | Path) -> Iterator[tuple[str, bytes]]:
    """The pictures of a tar file, each by its name in there, with its bytes, in order.

    Of a file that is too large for a picture there are only as many bytes as show that. Raises
    CutShort where the file is damaged or ends too early, after the pictures before that; and
    CaptionerError where it cannot be read.
    """
    with reported(name), open_file(name) as file, _unzipped(file, name) as content:
        counted = _Counted(content)
        count, end = 0, 0
        try:
            with tarfile.open(fileobj=counted, mode="r|") as tar:  # type: ignore[call-overload]
                for member in tar:
                    if is_picture_member(member):
                        picture = tar.extractfile(member)
                        assert picture is not None  # it is a file
                        yield member.name, picture.read(MAX_BYTES + 1)
                        count += 1
                    end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                    tar.members.clear()  # which it would keep for searching by name
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CutShort(
                f"{name} is damaged or cut short after {count} pictures ({error}); copy it again"
            ) from error
        if counted.count <= end:  # a block of zeros is missing: cut between two members
            raise CutShort(f"{name} is cut short after {count} pictures; copy it again")


def _unzipped(file: IO[bytes], name: str | Path) -> IO[bytes]:
    zipped = not str(name).lower().endswith(".tar")
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if zipped else file


class _Counted:
    """A file that counts what is read of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size)
        self.count += len(content)
        return content
