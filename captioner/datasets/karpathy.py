"""Captions in the form of Karpathy's splits (2015): one JSON file, every picture with its split."""

from pathlib import Path, PurePosixPath
from typing import Any

from captioner.datasets.records import CaptionFile, CaptionRecord
from captioner.errors import CaptionerError

# COCO's pictures of "restval" were left over from val2014 and are always trained on.
_PARTS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}


def read_karpathy(content: dict[str, Any], file: Path, split: str) -> CaptionFile:
    """The pictures of one split ("train" takes "restval" too), with their captions as written.

    Raises CaptionerError, naming the file, where a record lacks a field, two pictures have
    the same id or the split is empty.
    """
    records = []
    for number, picture in enumerate(content["images"], start=1):
        try:
            if picture["split"] in _PARTS[split]:
                records.append(_record(picture))
        except (AttributeError, KeyError, TypeError) as error:
            raise CaptionerError(
                f"{file}: picture {number} is not in Karpathy's form; "
                "expected a filename, a split, sentences with raw text, and as its id, if it has "
                "one, a number or a text"
            ) from error
    if len({record.image_id for record in records}) < len(records):
        raise CaptionerError(f"{file}: two pictures have the same id; give each its own")
    if not records:
        raise CaptionerError(f"{file}: no pictures in its split {split!r}")
    return CaptionFile(records)


def _record(picture: dict[str, Any]) -> CaptionRecord:
    folder = picture.get("filepath", "")  # only COCO's file has it: "train2014" or "val2014"
    name = picture["filename"]
    image_id = picture["cocoid"] if "cocoid" in picture else picture.get("imgid", name)
    if not isinstance(image_id, int | str):
        raise TypeError
    return CaptionRecord(
        file_name=str(PurePosixPath(folder, name)),
        image_id=image_id,
        captions=tuple(sentence["raw"].strip() for sentence in picture["sentences"]),
    )
