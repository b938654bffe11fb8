"""Boxes of things in pictures, in the form of COCO's instances file."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.data.picture_files import require_pictures
from captioner.data.records import read_json, shown
from captioner.errors import CaptionerError


@dataclass(frozen=True)
class BoxedPicture:
    """A picture with its boxes by category id, each (x, y, width, height) in fractions of it."""

    path: Path
    boxes: dict[int, list[tuple[float, float, float, float]]]


def read_instances(file: Path, images: Sequence[Path]) -> tuple[list[BoxedPicture], dict[str, int]]:
    """Every picture with its boxes, in the file's order, and the category ids by name.

    Raises CaptionerError where the file is not of COCO's instances form, or where a folder or
    pictures are missing.
    """
    content = read_json(file)
    try:
        categories = {str(record["name"]): _id(record) for record in content["categories"]}
        names = {record["id"]: str(record["file_name"]) for record in content["images"]}
        sizes = {
            record["id"]: (float(record["width"]), float(record["height"]))
            for record in content["images"]
        }
        boxes: dict[int, dict[int, list[tuple[float, float, float, float]]]]
        boxes = {picture: {} for picture in names}
        for record in content["annotations"]:
            width, height = sizes[record["image_id"]]
            left, top, across, down = record["bbox"]
            box = (left / width, top / height, across / width, down / height)
            if not all(map(math.isfinite, box)):
                raise ValueError(f"bbox {box}")
            boxes[record["image_id"]].setdefault(record["category_id"], []).append(box)
    # ArithmeticError: a width of 0, or a number too large to be a float; RuntimeError: nesting.
    except (ValueError, LookupError, TypeError, ArithmeticError, RuntimeError) as error:
        raise CaptionerError(
            f"{file} is not in the form of COCO's instances file ({shown(error)}); "
            "expected images, categories, and annotations with a bbox"
        ) from error
    paths = require_pictures(list(names.values()), images, file)
    return [BoxedPicture(paths[name], boxes[key]) for key, name in names.items()], categories


def _id(record: Any) -> Any:
    if not isinstance(record["id"], int | str):
        raise TypeError(f"id {shown(record['id'])}")
    return record["id"]
