"""What every caption file comes down to: pictures by name, with their captions."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captioner.errors import CaptionerError


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture on disk with all its captions; without ids in the file, image_id is its name."""

    path: Path
    image_id: int | str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionRecord:
    """A picture as a caption file names it, perhaps with a folder, as in `val2014/a.jpg`."""

    file_name: str
    image_id: int | str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionFile:
    """The pictures of a caption file in its order; ids that it captions but has no picture for."""

    records: list[CaptionRecord]
    unknown_ids: list[int | str] = field(default_factory=list)


def find_pictures(file_names: Iterable[str], images: Sequence[Path]) -> dict[str, Path]:
    """The pictures that are there, by the names that the annotation file gives them.

    Each is looked for in the folders in order, with and without the folder part of its name.
    Raises CaptionerError where one of the folders is not there.
    """
    for folder in images:
        if not folder.is_dir():
            raise CaptionerError(f"{folder} is not a folder; expected one that holds the pictures")
    found = {name: _find_picture(name, images) for name in file_names}
    return {name: path for name, path in found.items() if path}


def require_pictures(
    file_names: Sequence[str], images: Sequence[Path], file: Path
) -> dict[str, Path]:
    """As find_pictures, but raises CaptionerError where a picture that `file` names is missing."""
    found = find_pictures(file_names, images)
    missing = [name for name in file_names if name not in found]
    if missing:
        folders = ", ".join(str(folder) for folder in images) or "no folder"
        raise CaptionerError(
            f"{file}: {len(missing)} of its pictures are not in {folders}: {first_three(missing)}"
        )
    return found


def _find_picture(file_name: str, images: Sequence[Path]) -> Path | None:
    for folder in images:
        for name in dict.fromkeys((file_name, Path(file_name).name)):
            if os.path.isfile(folder / name):  # Path.is_file raises where a name is too long
                return folder / name
    return None


def first_three(names: Sequence[object]) -> str:
    """The first three of many names, for a message."""
    return ", ".join(str(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def read_json(file: Path) -> Any:
    """The content of a JSON file; CaptionerError where it cannot be read or is not valid."""
    try:
        return json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CaptionerError(f"{file} is not valid JSON: {error}") from error


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; CaptionerError if it is not."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaptionerError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{file} is not UTF-8 text; save it as UTF-8") from error
