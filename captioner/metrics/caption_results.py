"""Reads and checks what is scored: a COCO result file and a COCO caption annotations file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioner.data.caption_files import read_caption_file
from captioner.data.records import read_json
from captioner.data.vocabulary import split_words
from captioner.errors import CaptionerError

PictureId = int | str
RESULTS_FORM = 'a list of {"image_id": ..., "caption": "..."}'
ANNOTATIONS_FORM = 'an object with "annotations": [{"image_id": ..., "caption": "..."}]'


def read_results(file: Path) -> dict[PictureId, str]:
    """Read a COCO result file: picture id -> caption.

    Raises CaptionerError if the file is not `RESULTS_FORM`, names a picture twice or has a caption
    that is empty or no text.
    """
    content = read_json(file)
    if isinstance(content, dict) and "annotations" in content:
        raise CaptionerError(
            f"{file} is an annotations file, not a results file; give {RESULTS_FORM}."
        )
    if not isinstance(content, list) or not content:
        raise CaptionerError(f"{file} is not a results file; expected {RESULTS_FORM}.")
    captions: dict[PictureId, str] = {}
    twice = []
    for picture, caption in _captions(content, file, RESULTS_FORM):
        if picture in captions:
            twice.append(picture)
        captions[picture] = caption
    if twice:
        raise CaptionerError(
            f"{file} has more than one caption for {name_first(twice)}; keep one a picture."
        )
    return captions


def read_references(file: Path) -> dict[PictureId, list[str]]:
    """Read a COCO caption annotations file: picture id -> its reference captions.

    Pictures that the file lists without captions come with an empty list. Raises CaptionerError if
    the file is not `ANNOTATIONS_FORM` or has a caption that is empty or no text. A CSV or JSON
    Lines file, as one trains on, serves too: the ids are its picture names.
    """
    if file.suffix.lower() in (".csv", ".jsonl"):
        records = read_caption_file(file).records
        return {
            record.image_id: [text for text in record.captions if split_words(text)]
            for record in records
        }
    content = read_json(file)
    if isinstance(content, list):
        raise CaptionerError(
            f"{file} is a list, as results are; the references must be {ANNOTATIONS_FORM}."
        )
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise CaptionerError(f"{file} is not an annotations file; expected {ANNOTATIONS_FORM}.")
    references: dict[PictureId, list[str]] = {}
    images = content.get("images", [])
    for record in images if isinstance(images, list) else [None]:
        if not isinstance(record, dict) or not isinstance(record.get("id"), int | str):
            raise CaptionerError(f'{file}: every record of "images" needs an "id".')
        references[record["id"]] = []
    for picture, caption in _captions(content["annotations"], file, ANNOTATIONS_FORM):
        references.setdefault(picture, []).append(caption)
    return references


def matched_pictures(
    candidates: Mapping[PictureId, str],
    references: Mapping[PictureId, Sequence[str]],
    allow_partial: bool = False,
) -> list[PictureId]:
    """List the pictures to score, in the order of the references.

    candidates, references: picture id -> caption, and -> reference captions. Raises CaptionerError
    if captions are not text or nothing is left to score; and, unless allow_partial leaves them
    out, if pictures are only in one of the two or have no references.
    """
    wrong = [picture for picture, caption in candidates.items() if not isinstance(caption, str)]
    if wrong:
        kind = type(candidates[wrong[0]]).__name__
        raise CaptionerError(f"captions must be text, got {kind} for {name_first(wrong)}.")
    wrong = [picture for picture, captions in references.items() if isinstance(captions, str)]
    if wrong:
        raise CaptionerError(f"references must be a list a picture, got text for {wrong[0]!r}.")
    bare = [picture for picture, captions in references.items() if not captions]
    missing = [picture for picture in references if picture not in candidates]
    unknown = [picture for picture in candidates if picture not in references]
    common = [picture for picture in references if picture in candidates and references[picture]]
    if not common:
        raise CaptionerError(
            f"no picture is in both: the captions are for {name_first(list(candidates))}, "
            f"the references for {name_first(list(references))}. Ids must be equal, and a number "
            "is not equal to a text."
        )
    remedy = "or score the rest with --allow-partial (allow_partial=True)."
    if missing and not allow_partial:
        raise CaptionerError(f"no caption for {name_first(missing)}; add them, {remedy}")
    if unknown and not allow_partial:
        raise CaptionerError(
            f"captions for pictures without references: {name_first(unknown)}; remove them, "
            f"{remedy}"
        )
    if bare and not allow_partial:
        raise CaptionerError(f"no references for {name_first(bare)}; add them, {remedy}")
    return common


def shared_pictures(
    first: Mapping[PictureId, str], second: Mapping[PictureId, str]
) -> tuple[dict[PictureId, str], dict[PictureId, str]]:
    """Keep the captions of the pictures that two results both have."""
    return (
        {picture: caption for picture, caption in first.items() if picture in second},
        {picture: caption for picture, caption in second.items() if picture in first},
    )


def name_first(ids: Sequence[PictureId], noun: str = "picture") -> str:
    """Say how many pictures, or what the noun says, there are and the ids of the first three."""
    first = ", ".join(repr(one) for one in ids[:3])
    if len(ids) == 1:
        return f"{noun} {first}"
    return f"{len(ids):,} {noun}s ({first}{', ...' if len(ids) > 3 else ''})"


def _captions(records: Sequence[Any], file: Path, form: str) -> Iterable[tuple[PictureId, str]]:
    """Yield each record's picture and caption, having checked them."""
    for number, record in enumerate(records):
        if not isinstance(record, dict) or "image_id" not in record or "caption" not in record:
            raise CaptionerError(f"{file}: record {number} is not right; expected {form}.")
        picture, caption = record["image_id"], record["caption"]
        if not isinstance(picture, int | str):
            raise CaptionerError(
                f"{file}: record {number} has the image_id {picture!r}; expected a number or text."
            )
        if not isinstance(caption, str) or not caption.strip():
            what = "an empty caption" if isinstance(caption, str) else f"{caption!r} as a caption"
            raise CaptionerError(f"{file}: {what} for picture {picture!r}; expected text.")
        yield picture, caption
