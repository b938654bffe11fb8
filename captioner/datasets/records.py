"""What every caption file comes down to: pictures by name, with their captions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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


def find_picture(file_name: str, images: Sequence[Path]) -> Path | None:
    """The file of that name in the first folder that has it, with or without its folder part."""
    for folder in images:
        for name in dict.fromkeys((file_name, Path(file_name).name)):
            if (folder / name).is_file():
                return folder / name
    return None


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; CaptionerError if it is not."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CaptionerError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{file} is not UTF-8 text; save it as UTF-8") from error
