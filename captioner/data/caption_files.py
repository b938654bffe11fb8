"""Pictures with their captions: COCO's form, Karpathy's splits, or a table of one's own."""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from captioner.data.records import (
    CaptionedPicture,
    CaptionFile,
    CaptionRecord,
    first_three,
    read_json,
    read_text,
    require_pictures,
)
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError

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


def read_coco(content: dict[str, Any], file: Path) -> CaptionFile:
    """Group COCO's captions by picture, in the order of the file's picture records.

    Raises CaptionerError, naming the file, where a record lacks a field of COCO's form or two
    pictures have the same id.
    """
    _check_records(content, "images", {"id": (int, str), "file_name": str}, file)
    _check_records(content, "annotations", {"image_id": (int, str), "caption": str}, file)
    for number, annotation in enumerate(content["annotations"]):
        annotation.setdefault("id", number)  # unused here, but pycocotools insists on one
    from pycocotools.coco import COCO  # slow to import, and captioning has no use for it

    coco = COCO()
    coco.dataset = content
    with redirect_stdout(StringIO()):  # it prints its progress where results belong
        coco.createIndex()
    if len(coco.imgs) < len(content["images"]):
        raise CaptionerError(f"{file}: two pictures have the same id; give each its own")
    records = []
    for picture in content["images"]:
        annotations = coco.imgToAnns.get(picture["id"], [])
        captions = tuple(annotation["caption"] for annotation in annotations)
        records.append(CaptionRecord(picture["file_name"], picture["id"], captions))
    unknown = [image_id for image_id in coco.imgToAnns if image_id not in coco.imgs]
    return CaptionFile(records, unknown)


def _check_records(content: dict[str, Any], key: str, fields: dict[str, Any], file: Path) -> None:
    expected = "expected captions in COCO's form"
    records = content.get(key)
    if not isinstance(records, list):
        raise CaptionerError(f"{file}: no list of {key}; {expected}")
    for number, record in enumerate(records, start=1):
        for name, types in fields.items():
            if not isinstance(record, dict) or not isinstance(record.get(name), types):
                raise CaptionerError(
                    f"{file}: record {number} of {key} has no valid {name}; {expected}"
                )


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


def read_csv(file: Path) -> CaptionFile:
    """Read a CSV file with the columns image and caption; others are ignored.

    Raises CaptionerError, naming the line, where a column is missing or a row is too long or short.
    """
    return _group(_csv_rows(file))


def read_jsonl(file: Path) -> CaptionFile:
    """Read a file with an object `{"image": ..., "caption": ...}` a line; blank lines are skipped.

    Raises CaptionerError, naming the line, where it is not such an object.
    """
    return _group(_jsonl_rows(file))


def _csv_rows(file: Path) -> Iterator[tuple[str, str]]:
    reader = csv.DictReader(StringIO(read_text(file)))
    try:
        columns = reader.fieldnames or []
        if "image" not in columns or "caption" not in columns:
            raise CaptionerError(
                f"{file}: its first line is {','.join(columns)!r}; "
                "expected a header with the columns image and caption"
            )
        for row in reader:
            if None in row or None in row.values():
                raise CaptionerError(
                    f"{file}, line {reader.line_num}: expected {len(columns)} columns; "
                    'put captions that contain commas in double quotes, "like, this"'
                )
            yield row["image"], row["caption"]
    except csv.Error as error:
        raise CaptionerError(f"{file}, line {reader.line_num}: {error}") from error


def _jsonl_rows(file: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise CaptionerError(f"{file}, line {number}: not valid JSON: {error}") from error
        if not isinstance(row, dict) or not all(
            isinstance(row.get(key), str) for key in ("image", "caption")
        ):
            raise CaptionerError(
                f'{file}, line {number}: expected {{"image": "a.jpg", "caption": "a dog"}}'
            )
        yield row["image"], row["caption"]


def _group(rows: Iterable[tuple[str, str]]) -> CaptionFile:
    captions: dict[str, list[str]] = {}
    for image, caption in rows:
        captions.setdefault(image.strip(), []).append(caption)
    return CaptionFile(
        [CaptionRecord(name, name, tuple(texts)) for name, texts in captions.items()]
    )
