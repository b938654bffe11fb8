"""Boxes of things in pictures, in the form of COCO's instances file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from captioner.datasets.records import find_picture
from captioner.errors import CaptionerError


@dataclass(frozen=True)
class BoxedPicture:
    """A picture with its boxes by category id, each (x, y, width, height) in fractions of it."""

    path: Path
    boxes: dict[int, list[tuple[float, float, float, float]]] = field(default_factory=dict)


def read_instances(file: Path, images: Sequence[Path]) -> tuple[list[BoxedPicture], dict[str, int]]:
    """Every picture with its boxes, in the file's order, and the category ids by name.

    Raises CaptionerError where the file is not of COCO's instances form or pictures are missing.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        categories = {record["name"]: record["id"] for record in content["categories"]}
        pictures: dict[int, BoxedPicture] = {}
        sizes: dict[int, tuple[float, float]] = {}
        for record in content["images"]:
            path = find_picture(record["file_name"], images)
            if path is None:
                folders = ", ".join(str(folder) for folder in images)
                raise CaptionerError(f"{file}: picture {record['file_name']} is not in {folders}")
            pictures[record["id"]] = BoxedPicture(path)
            sizes[record["id"]] = (float(record["width"]), float(record["height"]))
        for record in content["annotations"]:
            width, height = sizes[record["image_id"]]
            left, top, across, down = record["bbox"]
            box = (left / width, top / height, across / width, down / height)
            boxes = pictures[record["image_id"]].boxes
            boxes.setdefault(record["category_id"], []).append(box)
    except OSError as error:
        raise CaptionerError(f"cannot read {file}: {error.strerror}") from error
    except CaptionerError:
        raise
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise CaptionerError(
            f"{file} is not in the form of COCO's instances file ({error!r}); "
            "expected images, categories, and annotations with a bbox"
        ) from error
    return list(pictures.values()), categories
