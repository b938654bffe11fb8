"""What every caption file is turned into: pictures by name, with their captions."""

import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from captioner.errors import CaptionerError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # as JSON writes half of a character


@dataclass(frozen=True)
class CaptionedPicture:
    """A picture on disk with all its captions; without ids in the file, image_id is its name."""

    path: Path
    image_id: int | str
    captions: tuple[str, ...]


@dataclass(frozen=True)
class CaptionRecord:
    """A picture as a caption file describes it.

    file_name: perhaps with a folder, as in `val2014/a.jpg`; empty where the file gives none.
    split: as the file says it; None where it does not.
    """

    file_name: str
    image_id: int | str
    captions: tuple[str, ...]
    split: str | None = None


@dataclass(frozen=True)
class CaptionFile:
    """The pictures of a caption file, in its order.

    unlisted: captions of ids for which the file has no picture record.
    """

    records: list[CaptionRecord]
    unlisted: list[CaptionRecord] = field(default_factory=list)


def join_rows(rows: Iterable[CaptionRecord], file: Path) -> CaptionFile:
    """Join the captions of rows about the same picture.

    Raises CaptionerError where two of them say another id or another split.
    """
    joined: dict[str, CaptionRecord] = {}
    for row in rows:
        first = joined.get(row.file_name, row)
        if (row.image_id, row.split) != (first.image_id, first.split):
            raise CaptionerError(
                f"{file}: {row.file_name} appears with two ids or in two splits; give it one"
            )
        captions = row.captions if first is row else first.captions + row.captions
        joined[row.file_name] = replace(first, captions=captions)
    return CaptionFile(list(joined.values()))


def first_three(names: Sequence[object]) -> str:
    """The first three of many names, for a message."""
    return ", ".join(str(name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def read_json(file: Path) -> Any:
    """The content of a JSON file; CaptionerError where it cannot be read or is not valid."""
    return parse_json(read_text(file), f"{file}:")


def parse_json_lines(text: str, file: Path) -> Iterator[tuple[int, Any]]:
    """The value of each line of JSON Lines that is not blank, with the line's number.

    Raises CaptionerError, which names the file and the line, where one is not valid.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, parse_json(line, f"{file}, line {number}:")


def parse_json(text: str, where: str) -> Any:
    """The value that a JSON text holds.

    Raises CaptionerError, which begins with `where`, for broken JSON, for numbers that are not
    finite and for texts that cannot be written as UTF-8 again.
    """
    try:
        content = json.loads(text, parse_constant=_raise_for_constant)
        if _SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    # A plain ValueError is a number of too many digits, or half of a character.
    except (ValueError, RecursionError) as error:
        start = text.lstrip()[:20]
        if start[:1] not in ("{", "["):
            raise CaptionerError(f"{where} not JSON; it begins with {start!r}") from error
        raise CaptionerError(f"{where} not valid JSON: {error}") from error
    return content


def _raise_for_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def shown(value: Any) -> str:
    """A value of a file for a message: short, whatever it is."""
    return reprlib.repr(value)


def read_text(file: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; CaptionerError if it is not."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{file} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise CaptionerError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:  # a name with a zero byte
        raise CaptionerError(f"cannot read {str(file)!r}: {error}") from error
