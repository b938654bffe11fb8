"""The parts that a source is divided into; each gives its pictures in their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from captioner.data.addresses import open_file, read_file, reported
from captioner.data.picture_bounds import MAX_BYTES
from captioner.data.tar_files import CutShort, pictures_of_tar
from captioner.errors import CaptionerError
from captioner.files import remote_address

ROWS_AT_ONCE = 64  # of a Parquet file

Readable = Any  # whatever Captioner.caption_each takes: a path, a web address, or a _Content


class Part(Protocol):
    """Some pictures of a source; sent to the worker that captions them."""

    @property
    def name(self) -> str:
        """What messages call it."""

    def pictures(self) -> Iterator[tuple[str, Readable]]:
        """Each picture's name and what it is read from.

        Raises CutShort where pictures are lost, after those before them, and CaptionerError where
        the part cannot be read now.
        """


@dataclass(frozen=True)
class _Content:
    """A picture that is read when its turn comes; for Pillow, read() is all that a file needs."""

    name: str
    content: bytes | None = None  # None: at the address of its name

    def read(self) -> bytes:
        return read_file(self.name, MAX_BYTES + 1) if self.content is None else self.content


@dataclass(frozen=True)
class _Missing:
    """A picture that the source has no bytes of."""

    name: str
    reason: str

    def read(self) -> NoReturn:
        raise CaptionerError(f"{self.name}: {self.reason}")


@dataclass(frozen=True)
class FilesPart:
    """Pictures in files of their own; relative names start from `folder`."""

    folder: str
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{len(self.names)} pictures from {self.names[0]} on"

    def pictures(self) -> Iterator[tuple[str, Readable]]:
        for name in self.names:
            yield name, located(name, self.folder)


@dataclass(frozen=True)
class TarPart:
    """The pictures of a tar shard; `name` as the user gave it, `address` from everywhere."""

    name: str
    address: str

    def pictures(self) -> Iterator[tuple[str, Readable]]:
        for member, content in pictures_of_tar(self.address):
            name = f"{self.name}/{member}"
            yield name, _Content(name, content)


@dataclass(frozen=True)
class RowsPart:
    """The pictures of a row group of a Parquet file; without `column`, nothing of it was read."""

    file: str
    address: str
    folder: str
    row_group: int
    first_row: int
    column: str

    @property
    def name(self) -> str:
        return f"{self.file}, row group {self.row_group}"

    def pictures(self) -> Iterator[tuple[str, Readable]]:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        with open_file(self.address) as opened, reported(self.address):
            number = self.first_row
            try:
                batches = ParquetFile(opened).iter_batches(
                    ROWS_AT_ONCE, row_groups=[self.row_group], columns=[self.column]
                )
                for batch in batches:
                    for value in batch.column(0).to_pylist():
                        yield self._picture(f"{self.file}#{number}", value)
                        number += 1
            except ArrowException as error:
                raise CutShort(
                    f"{self.name} is damaged after {number - self.first_row} rows "
                    f"({' '.join(str(error).split())}); copy it again"
                ) from error

    def _picture(self, row: str, value: Any) -> tuple[str, Readable]:
        """A cell: bytes, a path or an address, or the dict that Hugging Face makes of a picture."""
        if isinstance(value, dict):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return row, _Content(row, value)
        if isinstance(value, str) and value:
            return value, located(value, self.folder)
        return row, _Missing(row, "an empty cell; expected a picture")


def located(name: str, folder: str) -> Readable:
    """What a picture of this name is read from; a relative name starts from `folder`."""
    if name.startswith(("http://", "https://")):
        return name
    whole = name if remote_address(name) else join(folder, name)
    return Path(whole) if remote_address(whole) is None else _Content(whole)


def join(folder: str, name: str) -> str:
    """A name in a folder, on this machine or in a store; an absolute name stands for itself."""
    if remote_address(folder) is None:
        return str(Path(folder, name))
    return f"{folder.rstrip('/')}/{name}"
