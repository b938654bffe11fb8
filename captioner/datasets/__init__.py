"""Pictures with their captions: COCO's form, Karpathy's splits, or a table of one's own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioner.datasets.coco import read_coco
from captioner.datasets.karpathy import read_karpathy
from captioner.datasets.records import CaptionedPicture, CaptionFile, find_picture, read_text
from captioner.datasets.table import read_csv, read_jsonl
from captioner.errors import CaptionerError

__all__ = ["SPLITS", "CaptionedPicture", "read_captions", "read_caption_file"]

SPLITS = ("train", "val", "test")


def read_captions(
    file: Path, images: Sequence[Path], split: str = "train"
) -> list[CaptionedPicture]:
    """Read every captioned picture of a file, one entry a picture, in the file's order.

    Pictures are looked for in the folders `images`, in order. Blank captions are left out, and
    so are pictures without any other. `split` matters only for Karpathy's files. Raises
    CaptionerError where the file is not of a known form, captions an id that has no picture
    record, names pictures that are in none of the folders, or has no captions.
    """
    content = read_caption_file(file, split)
    if content.unknown_ids:
        raise CaptionerError(
            f"{file}: {len(content.unknown_ids)} image ids have captions but no picture record: "
            f"{_first_three(content.unknown_ids)}"
        )
    pictures = []
    missing = []
    for record in content.records:
        captions = tuple(caption.strip() for caption in record.captions if caption.strip())
        if not captions:
            continue
        path = find_picture(record.file_name, images)
        if path is None:
            missing.append(record.file_name)
        else:
            pictures.append(CaptionedPicture(path, record.image_id, captions))
    if missing:
        folders = ", ".join(str(folder) for folder in images) or "no folder"
        raise CaptionerError(
            f"{file}: {len(missing)} of its pictures are not in {folders}: {_first_three(missing)}"
        )
    if not pictures:
        raise CaptionerError(f"{file}: no captions found; expected at least one picture with one")
    return pictures


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
    content = _read_json(file)
    if isinstance(content, dict) and "annotations" in content:
        return read_coco(content, file)
    if isinstance(content, dict) and isinstance(content.get("images"), list):
        return read_karpathy(content, file, split)
    raise CaptionerError(
        f"{file}: expected captions in COCO's or Karpathy's form, or a .csv or .jsonl file; "
        "data/README.md shows all four"
    )


def _read_json(file: Path) -> Any:
    try:
        return json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CaptionerError(f"{file} is not valid JSON: {error}") from error


def _first_three(names: Sequence[object]) -> str:
    return ", ".join(str(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")
