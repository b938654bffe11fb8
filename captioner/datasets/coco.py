"""Captions in the form of MS COCO, `{"images": [...], "annotations": [...]}`."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from captioner.datasets.records import CaptionFile, CaptionRecord
from captioner.errors import CaptionerError


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
