"""Captions of one's own, a picture and a caption a row: CSV with a header, or JSON Lines."""

import csv
import json
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path

from captioner.datasets.records import CaptionFile, CaptionRecord, read_text
from captioner.errors import CaptionerError


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
