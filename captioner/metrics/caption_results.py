"""Reference captions, and which pictures can be scored against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from captioner.data.caption_files import read_caption_file
from captioner.data.records import CaptionFile
from captioner.errors import CaptionerError
from captioner.metrics.result_files import Id, name_first


def read_references(file: Path, split: str = "val") -> dict[Id, tuple[str, ...]]:
    """Read reference captions from any caption file: picture id -> its captions.

    split: of a file that has several. Raises what read_caption_file does.
    """
    return references_of(read_caption_file(file, split))


def references_of(content: CaptionFile) -> dict[Id, tuple[str, ...]]:
    """The captions of a caption file by picture id."""
    return {record.image_id: record.captions for record in (*content.records, *content.unlisted)}


def matched_pictures(
    candidates: Mapping[Id, str],
    references: Mapping[Id, Sequence[str]],
    allow_partial: bool = False,
) -> list[Id]:
    """List the pictures to score, in the order of the references.

    candidates, references: picture id -> caption, and -> reference captions. Pictures without
    references are left out. Raises CaptionerError if captions are not text or nothing is left to
    score; and, unless allow_partial leaves them out, if pictures are only in one of the two.
    """
    wrong = [picture for picture, caption in candidates.items() if not isinstance(caption, str)]
    if wrong:
        kind = type(candidates[wrong[0]]).__name__
        raise CaptionerError(
            f"captions must be text, got {kind} for {name_first(wrong, 'picture')}."
        )
    wrong = [
        picture
        for picture, captions in references.items()
        if isinstance(captions, str) or not all(isinstance(text, str) for text in captions)
    ]
    if wrong:
        raise CaptionerError(
            f"references must be a list of texts per picture, got {references[wrong[0]]!r} for "
            f"{wrong[0]!r}."
        )
    missing = [
        picture
        for picture, captions in references.items()
        if captions and picture not in candidates
    ]
    unknown = [picture for picture in candidates if picture not in references]
    common = [picture for picture in references if picture in candidates and references[picture]]
    if not common:
        raise CaptionerError(
            "no picture is in both: the captions are for "
            f"{name_first(list(candidates), 'picture')}, the references for "
            f"{name_first(list(references), 'picture')}"
        )
    remedy = "or score the rest with --allow-partial (allow_partial=True)."
    if missing and not allow_partial:
        raise CaptionerError(f"no caption for {name_first(missing, 'picture')}; add them, {remedy}")
    if unknown and not allow_partial:
        raise CaptionerError(
            f"captions for pictures without references: {name_first(unknown, 'picture')}; "
            f"remove them, {remedy}"
        )
    return common


def shared_pictures(
    first: Mapping[Id, str], second: Mapping[Id, str]
) -> tuple[dict[Id, str], dict[Id, str]]:
    """Keep the captions of the pictures that two results both have."""
    return (
        {picture: caption for picture, caption in first.items() if picture in second},
        {picture: caption for picture, caption in second.items() if picture in first},
    )
