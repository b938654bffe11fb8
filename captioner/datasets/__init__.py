"""Pictures with their captions: COCO's form, Karpathy's splits, or a table of one's own."""

from collections.abc import Sequence
from pathlib import Path

from captioner.datasets.coco import read_coco
from captioner.datasets.karpathy import read_karpathy
from captioner.datasets.records import (
    CaptionedPicture,
    CaptionFile,
    first_three,
    read_json,
    require_pictures,
)
from captioner.datasets.table import read_csv, read_jsonl
from captioner.errors import CaptionerError
from captioner.vocabulary import split_words

__all__ = ["SPLITS", "CaptionedPicture", "read_captions", "read_caption_file"]

SPLITS = ("train", "val", "test")


def read_captions(
    file: Path, images: Sequence[Path], split: str = "train"
) -> list[CaptionedPicture]:
    """Read every captioned picture of a file, one entry a picture, in the file's order.

    Pictures are looked for in the folders `images`, in order. Captions without a word, such as
    "...", are left out, and so are pictures without any other. `split` matters only for Karpathy's
    files. Raises CaptionerError where a folder is not there, and where the file is not of a known
    form, captions an id that has no picture record, names pictures that are in none of the folders,
    or has no captions.
    """
    content = read_caption_file(file, split)
    if content.unknown_ids:
        raise CaptionerError(
            f"{file}: {len(content.unknown_ids)} image ids have captions but no picture record: "
            f"{first_three(content.unknown_ids)}"
        )
    captioned = []
    for record in content.records:
        captions = tuple(caption.strip() for caption in record.captions if split_words(caption))
        if captions:
            captioned.append((record, captions))
    if not captioned:
        raise CaptionerError(f"{file}: no captions found; expected at least one picture with one")
    paths = require_pictures([record.file_name for record, _ in captioned], images, file)
    return [
        CaptionedPicture(paths[record.file_name], record.image_id, captions)
        for record, captions in captioned
    ]


def read_caption_file(file: Path, split: str = "train") -> CaptionFile:
    """Read a caption file of any known form without looking for its pictures.

    Raises CaptionerError where there is no such file or its form is not known.
    """
    if split not in SPLITS:
        raise CaptionerError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if file.suffix.lower() == ".csv":
        return read_csv(file)
    if file.suffix.lower() == ".jsonl":
        return read_jsonl(file)
    content = None if file.suffix.lower() == ".tsv" else read_json(file)
    if isinstance(content, dict) and "annotations" in content:
        return read_coco(content, file)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return read_karpathy(content, file, split)
    raise CaptionerError(
        f"{file}: expected captions in COCO's or Karpathy's form, or a .csv or .jsonl file; "
        "data/README.md shows all four"
    )
