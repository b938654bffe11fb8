"""Finds what is wrong with a caption file and its pictures, before hours of training."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from captioner.data.images import open_picture
from captioner.data.picture_files import FoundPictures
from captioner.data.records import CaptionFile
from captioner.data.shards import read_picture_file
from captioner.data.unspaced_scripts import are_unspaced, has_unspaced
from captioner.data.vocabulary import SPECIAL_TOKENS, CharacterVocabulary, Vocabulary, split_words
from captioner.data.word_coverage import default_min_count, word_coverage
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
    known_words: int  # of the checkpoint to start from, or frequent enough to be learned
    unknown_share: float  # of all words that the captions are made of
    commonest_unknown: tuple[str, ...]
    captions_without_known: int
    missing: list[str]
    partly: list[str]  # no problem, but to be looked at: found by the end of their names alone
    ambiguous: list[str]  # fit several pictures, or several of them fit one
    unreadable: list[str]  # what open_picture said of each
    duplicates: list[list[str]]  # pictures whose files are the same, byte for byte
    held_out: list[str]  # pictures whose files are also among those of validation
    empty_captions: list[str]  # the picture of each
    unspaced: list[str]  # captions without spaces, which are one word each to a model of words
    unknown_ids: list[int | str]  # captioned, but without a picture record

    def problems(self) -> dict[str, Sequence[object]]:
        """Everything that is wrong, by what it is called."""
        return {
            "missing pictures": self.missing,
            "ambiguous names": self.ambiguous,
            "unreadable pictures": self.unreadable,
            "duplicate pictures": self.duplicates,
            "also held out": self.held_out,
            "empty captions": self.empty_captions,
            "captions without spaces": self.unspaced,
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
        open_picture(path)  # first: it refuses what has no end
        digest = hashlib.sha256(read_picture_file(path)).hexdigest()
    except (CaptionerError, OSError) as error:
        return Examined(path, "", str(error))
    return Examined(path, digest, None)


def report(
    content: CaptionFile,
    found: FoundPictures,
    examined: Iterable[Examined],
    *,
    val_paths: Sequence[Path] = (),
    known: Vocabulary | None = None,
) -> Report:
    """Put together what the caption file says, which pictures were found, and how they decoded.

    val_paths: the pictures of validation, among those examined. known: the vocabulary of the
    checkpoint that training will start from; None: a new one is made.
    """
    examined = list(examined)
    records = content.records
    captions = [caption for record in records for caption in record.captions]
    words = [split_words(caption) for caption in captions]
    digests = {picture.path: picture.digest for picture in examined if not picture.error}
    same: dict[str, list[str]] = {}
    for record in records:
        digest = digests.get(found.paths.get(record.file_name, Path()))
        if digest:
            same.setdefault(digest, []).append(record.file_name)
    held_out = {digests[path] for path in val_paths if path in digests}
    vocabulary = known or Vocabulary.build(captions, min_count=default_min_count(len(captions)))
    coverage = word_coverage((caption for caption in captions if split_words(caption)), vocabulary)
    return Report(
        pictures=len(records),
        pictures_without_captions=sum(not record.captions for record in records),
        captions=len(captions),
        vocabulary=len({word for caption in words for word in caption}),
        longest_caption=max(map(len, words), default=0),
        known_words=len(vocabulary) - len(SPECIAL_TOKENS),
        unknown_share=coverage.unknown_share,
        commonest_unknown=coverage.commonest_unknown,
        captions_without_known=coverage.texts_without_known,
        missing=found.missing,
        partly=found.partly,
        ambiguous=found.ambiguous,
        unreadable=[picture.error for picture in examined if picture.error],
        duplicates=[names for names in same.values() if len(names) > 1],
        held_out=[name for digest, names in same.items() if digest in held_out for name in names],
        empty_captions=[
            record.file_name
            for record in records
            for caption in record.captions
            if not split_words(caption)
        ],
        unspaced=[caption for caption in captions if has_unspaced(caption)]
        if are_unspaced(captions) and not isinstance(known, CharacterVocabulary)
        else [],
        unknown_ids=[record.image_id for record in content.unlisted],
    )
