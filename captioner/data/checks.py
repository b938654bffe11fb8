"""What is wrong with a caption file and its pictures, found before hours of training are spent."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from captioner.data.images import open_picture
from captioner.data.records import CaptionFile
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError


@dataclass(frozen=True)
class Examined:
    """A picture that was decoded: its content as a SHA-256, or what open_picture said instead."""

    path: Path
    digest: str
    error: str | None


@dataclass(frozen=True)
class Report:
    """A caption file in numbers, and its problems: file names, groups of them, messages or ids."""

    pictures: int
    pictures_without_captions: int  # no problem: they are left out
    captions: int
    vocabulary: int  # different words
    longest_caption: int  # in words
    missing: list[str]
    unreadable: list[str]  # what open_picture said of each
    duplicates: list[list[str]]  # pictures whose files are the same, byte for byte
    empty_captions: list[str]  # the picture of each
    unknown_ids: list[int | str]  # captioned, but without a picture record

    def problems(self) -> dict[str, Sequence[object]]:
        """Everything that is wrong, by what it is called."""
        return {
            "missing pictures": self.missing,
            "unreadable pictures": self.unreadable,
            "duplicate pictures": self.duplicates,
            "empty captions": self.empty_captions,
            "unknown image ids": self.unknown_ids,
        }


def examine(paths: Iterable[Path]) -> Iterator[Examined]:
    """Decode each picture, several at a time, in the order given."""
    pool = ThreadPoolExecutor()
    try:
        yield from pool.map(_examine, paths)
    finally:
        pool.shutdown(cancel_futures=True)


def _examine(path: Path) -> Examined:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        open_picture(path)
    except (CaptionerError, OSError) as error:
        return Examined(path, "", str(error))
    return Examined(path, digest, None)


def report(content: CaptionFile, paths: Mapping[str, Path], examined: Iterable[Examined]) -> Report:
    """Put together what the caption file says, which pictures were found, and how they decoded."""
    examined = list(examined)
    records = content.records
    captions = [caption for record in records for caption in record.captions]
    words = [split_words(caption) for caption in captions]
    digests = {picture.path: picture.digest for picture in examined if not picture.error}
    same: dict[str, list[str]] = {}
    for record in records:
        digest = digests.get(paths.get(record.file_name, Path()))
        if digest:
            same.setdefault(digest, []).append(record.file_name)
    return Report(
        pictures=len(records),
        pictures_without_captions=sum(not record.captions for record in records),
        captions=len(captions),
        vocabulary=len({word for caption in words for word in caption}),
        longest_caption=max(map(len, words), default=0),
        missing=[record.file_name for record in records if record.file_name not in paths],
        unreadable=[picture.error for picture in examined if picture.error],
        duplicates=[names for names in same.values() if len(names) > 1],
        empty_captions=[
            record.file_name
            for record in records
            for caption in record.captions
            if not split_words(caption)
        ],
        unknown_ids=content.unknown_ids,
    )
