"""Reads captions of pictures from any of the files that people keep them in."""

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from captioner.data import caption_json, caption_tables, shards
from captioner.data.caption_source import CaptionSource
from captioner.data.picture_files import require_pictures
from captioner.data.records import CaptionedPicture, CaptionFile, CaptionRecord, first_three
from captioner.data.vocabulary import has_words
from captioner.errors import CaptionerError, CaptionerWarning

# What the parts of a set are called in files. COCO's "restval" was left over from val2014 and is
# always trained on.
SPLITS = {
    "train": ("train", "training", "restval"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}

# The forms of caption files; the first that recognises a file reads it. To add one, write its
# recogniser and its reader in one of the modules, and its row in the table there.
READERS = (*shards.READERS, *caption_tables.READERS, *caption_json.READERS)


def read_captions(
    file: Path, images: Sequence[Path], split: str = "train", *, skip_missing: bool = False
) -> list[CaptionedPicture]:
    """Read every captioned picture of a file, one entry per picture, in the file's order.

    Raises what read_caption_file and locate_pictures do.
    """
    return locate_pictures(read_caption_file(file, split), images, file, skip_missing=skip_missing)


def has_captions(content: CaptionFile) -> bool:
    """Whether any picture has a caption with a word."""
    return any(has_words(text) for record in content.records for text in record.captions)


def locate_pictures(
    content: CaptionFile,
    images: Sequence[Path],
    file: Path,
    *,
    skip_missing: bool = False,
    uncaptioned: bool = False,
) -> list[CaptionedPicture]:
    """Find the pictures of a caption file in the folders `images`, as find_pictures does.

    Captions without a word, such as "...", are left out, and so are pictures without any other,
    unless `uncaptioned`. skip_missing: leave out pictures that are not there, up to a tenth. Raises
    CaptionerError where the file captions an id that has no picture record, has no captions, or
    names pictures that are in none of the folders.
    """
    if content.unlisted:
        ids = [record.image_id for record in content.unlisted]
        raise CaptionerError(
            f"{file}: {len(ids)} image ids have captions but no picture record: {first_three(ids)}"
        )
    captioned = []
    for record in content.records:
        captions = tuple(caption.strip() for caption in record.captions if has_words(caption))
        if captions or uncaptioned:
            captioned.append((record, captions))
    if not captioned:
        raise CaptionerError(f"{file}: no captions found; expected at least one picture with one")
    nameless = [record.image_id for record, _ in captioned if not record.file_name]
    if nameless:
        raise CaptionerError(
            f"{file}: {len(nameless)} pictures have no file_name: {first_three(nameless)}"
        )
    names = [record.file_name for record, _ in captioned]
    paths = require_pictures(names, images, file, skip_missing=skip_missing)
    return [
        CaptionedPicture(paths[record.file_name], record.image_id, captions)
        for record, captions in captioned
        if record.file_name in paths
    ]


def read_caption_file(file: Path, split: str = "train") -> CaptionFile:
    """Read a caption file of any known form without looking for its pictures.

    `split` chooses among the pictures where the file says of them to which split they belong.
    Raises CaptionerError where there is no such file, its form is not known, a record is not
    right, two pictures have the same id, or the split is empty.
    """
    if split not in SPLITS:
        raise CaptionerError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    source = CaptionSource(file)
    reader = next((reader for reader in READERS if reader.recognises(source)), None)
    if reader is None:
        source.parsed_json()  # raises where the file is broken JSON
        raise CaptionerError(
            f"{file}: not a caption file; expected {', '.join(r.name for r in READERS[:-1])} or "
            f"{READERS[-1].name}, as data/README.md shows them"
        )
    content = reader.read(source)
    ids = Counter(str(record.image_id) for record in content.records)
    twice = [image_id for image_id, count in ids.items() if count > 1]
    if twice:
        raise CaptionerError(
            f"{file}: two pictures have the same id: {first_three(twice)}; give each its own"
        )
    return CaptionFile(_of_split(content.records, split, file), content.unlisted)


def _of_split(records: Sequence[CaptionRecord], split: str, file: Path) -> list[CaptionRecord]:
    """The records of one split, or all where none says which it belongs to."""
    if all(record.split is None for record in records):
        return list(records)
    unsplit = [record.image_id for record in records if not record.split]
    if unsplit:
        raise CaptionerError(
            f"{file}: {len(unsplit)} pictures have no split, others have one: "
            f"{first_three(unsplit)}"
        )
    _warn_of_unknown_splits((record.split or "" for record in records), file)
    chosen = [record for record in records if _plain(record.split) in SPLITS[split]]
    if not chosen:
        there = sorted({record.split for record in records if record.split})
        raise CaptionerError(
            f"{file}: no pictures in its split {split!r}; its splits are {', '.join(there)}"
        )
    return chosen


def _plain(split: str | None) -> str:
    """A split as SPLITS has it: in small letters, and without a year, as in train2014."""
    return (split or "").lower().rstrip("0123456789")


def _warn_of_unknown_splits(splits: Iterable[str], file: Path) -> None:
    known = {name for names in SPLITS.values() for name in names}
    unknown = sorted({split for split in splits if _plain(split) not in known})
    if unknown:
        warnings.warn(
            f"{file}: pictures of the splits {', '.join(unknown)} are never read; expected "
            f"{', '.join(sorted(known))}",
            CaptionerWarning,
            stacklevel=2,
        )
