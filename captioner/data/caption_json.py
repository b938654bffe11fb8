"""Caption files that are one JSON value: COCO's, Karpathy's, LAVIS's and neuraltalk2's."""

import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from captioner.data.caption_source import CaptionReader, CaptionSource
from captioner.data.records import CaptionFile, CaptionRecord, first_three, join_rows
from captioner.data.vocabulary import has_words
from captioner.errors import CaptionerError
from captioner.files import atomic_write

# What a record calls its fields, or a table its columns; the first that is there counts.
IMAGE_NAMES = ("image", "file_path", "file_name", "filename", "image_name")
CAPTION_NAMES = ("caption", "captions", "text")
COCO_FORM = '{"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}'


def _is_coco(source: CaptionSource) -> bool:
    content = source.parsed_json()
    return isinstance(content, dict) and "annotations" in content


def read_coco(source: CaptionSource) -> CaptionFile:
    """Group the captions by picture, in the order of the picture records.

    An id that is a number in one list and the same number as text in the other is one id.
    """
    content, file = source.parsed_json(), source.file
    images = content.get("images", [])
    _check_records(images, "images", {"id": int | str}, file)
    _check_records(
        content["annotations"], "annotations", {"image_id": int | str, "caption": str}, file
    )
    ids = {str(picture["id"]): picture["id"] for picture in images}
    annotations = content["annotations"]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number  # COCO's own code insists on one, whatever the file has
        annotation["image_id"] = ids.get(str(annotation["image_id"]), annotation["image_id"])
    from pycocotools.coco import COCO  # slow to import, and captioning has no use for it

    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations}
    with redirect_stdout(StringIO()):  # it prints its progress where results belong
        coco.createIndex()

    def captions(image_id: int | str) -> tuple[str, ...]:
        return tuple(annotation["caption"] for annotation in coco.imgToAnns.get(image_id, []))

    unlisted = [image_id for image_id in coco.imgToAnns if image_id not in coco.imgs]
    return CaptionFile(
        [_coco_record(picture, captions(picture["id"])) for picture in images],
        [CaptionRecord("", image_id, captions(image_id)) for image_id in unlisted],
    )


def _coco_record(picture: dict[str, Any], captions: tuple[str, ...]) -> CaptionRecord:
    """A picture record of COCO's form; some people's have a split, which COCO's own lack."""
    split = picture.get("split")
    return CaptionRecord(
        file_name=str(picture.get("file_name") or ""),
        image_id=picture["id"],
        captions=captions,
        split=split if isinstance(split, str) else None,
    )


def write_coco(content: CaptionFile, file: Path) -> tuple[int, int]:
    """Write pictures and captions in COCO's form; returns how many there are of each.

    Ids that are not all whole numbers are replaced by 1, 2, 3 ... Captions without a word are left
    out. Raises CaptionerError for captions of ids without a picture record.
    """
    if content.unlisted:
        ids = [record.image_id for record in content.unlisted]
        raise CaptionerError(f"{len(ids)} image ids have no picture record: {first_three(ids)}")
    numbered = all(type(record.image_id) is int for record in content.records)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, record in enumerate(content.records, start=1):
        image_id = record.image_id if numbered else number
        images.append({"id": image_id, "file_name": record.file_name})
        for caption in record.captions:
            if has_words(caption):
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": image_id, "caption": caption.strip()}
                )
    text = json.dumps({"images": images, "annotations": annotations}, ensure_ascii=False)
    atomic_write(file, lambda partial: partial.write_text(text, encoding="utf-8"))
    return len(images), len(annotations)


def _check_records(records: Any, key: str, fields: dict[str, Any], file: Path) -> None:
    if not isinstance(records, list):
        raise CaptionerError(f"{file}: {key} is not a list; expected {COCO_FORM}")
    for number, record in enumerate(records, start=1):
        for name, types in fields.items():
            if not isinstance(record, dict) or not isinstance(record.get(name), types):
                raise CaptionerError(
                    f"{file}: record {number} of {key} has no valid {name}; expected {COCO_FORM}"
                )


def _is_karpathy(source: CaptionSource) -> bool:
    content = source.parsed_json()
    images = content.get("images") if isinstance(content, dict) else None
    return isinstance(images, list) and any(
        isinstance(picture, dict) and "sentences" in picture for picture in images
    )


def read_karpathy(source: CaptionSource) -> CaptionFile:
    """The pictures of all splits."""
    records = []
    for number, picture in enumerate(source.parsed_json()["images"], start=1):
        try:
            name = picture["filename"]
            record = CaptionRecord(
                # Only COCO's file has a filepath: "train2014" or "val2014".
                file_name=str(PurePosixPath(picture.get("filepath", ""), name)),
                image_id=picture["cocoid"] if "cocoid" in picture else picture.get("imgid", name),
                captions=tuple(sentence["raw"].strip() for sentence in picture["sentences"]),
                split=picture["split"],
            )
        except (AttributeError, KeyError, TypeError):
            record = None
        if (
            not record
            or not isinstance(record.image_id, int | str)
            or type(record.split) is not str
        ):
            raise CaptionerError(
                f"{source.file}: picture {number} is not in Karpathy's form; expected a filename, "
                "a split, sentences with raw text, and as its id, if it has one, a number or a text"
            )
        records.append(record)
    return CaptionFile(records)


def _is_image_info(source: CaptionSource) -> bool:
    content = source.parsed_json()
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def read_image_info(source: CaptionSource) -> CaptionFile:
    """Pictures without captions, as of a test set."""
    images = source.parsed_json()["images"]
    _check_records(images, "images", {"id": int | str, "file_name": str}, source.file)
    return CaptionFile([_coco_record(image, ()) for image in images])


def _is_list(source: CaptionSource) -> bool:
    content = source.parsed_json()
    return (
        isinstance(content, list)
        and _field(content[0] if content else None, IMAGE_NAMES) is not None
    )


def read_list(source: CaptionSource) -> CaptionFile:
    """LAVIS's list of {"image", "caption"} or neuraltalk2's of {"file_path", "captions"}."""
    return join_rows(_list_rows(source), source.file)


def _list_rows(source: CaptionSource) -> Iterator[CaptionRecord]:
    for number, record in enumerate(source.parsed_json(), start=1):
        yield record_of(record, f"{source.file}, record {number}:")


def record_of(record: Any, where: str) -> CaptionRecord:
    """The picture and captions of one object, whatever it calls them.

    Raises CaptionerError, with `where` as the place, if it is no such object.
    """
    name, texts = _field(record, IMAGE_NAMES), _field(record, CAPTION_NAMES)
    captions = [texts] if isinstance(texts, str) else texts
    is_right = isinstance(name, str) and name.strip() and isinstance(captions, list)
    if not is_right or not all(isinstance(caption, str) for caption in captions):
        raise CaptionerError(f'{where} expected {{"image": "a.jpg", "caption": "a dog"}}')
    # The id of a record with one caption is the caption's.
    image_id = record.get("image_id", record.get("id", name) if texts is captions else name)
    split = record.get("split")
    if not isinstance(image_id, int | str) or not isinstance(split, str | None):
        raise CaptionerError(
            f"{where} expected a number or a text as its id, and a text as its split"
        )
    return CaptionRecord(name.strip(), image_id, tuple(captions), split)


def _field(record: Any, names: tuple[str, ...]) -> Any:
    """The first of these fields that a record has; None where it has none."""
    if not isinstance(record, dict):
        return None
    return next((record[name] for name in names if name in record), None)


READERS = (
    CaptionReader("COCO's JSON", _is_coco, read_coco),
    CaptionReader("Karpathy's JSON", _is_karpathy, read_karpathy),
    CaptionReader("COCO's JSON without captions", _is_image_info, read_image_info),
    CaptionReader("a JSON list as LAVIS or neuraltalk2 write it", _is_list, read_list),
)
