"""Caption files with a row per caption: CSV, JSON Lines, Flickr's lists, text beside pictures."""

import csv
import json
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

from captioner.data.caption_json import CAPTION_NAMES, IMAGE_NAMES, record_of
from captioner.data.caption_source import CaptionReader, CaptionSource
from captioner.data.picture_folder import is_picture
from captioner.data.records import (
    CaptionFile,
    CaptionRecord,
    first_three,
    join_rows,
    parse_json_lines,
    read_text,
)
from captioner.errors import CaptionerError, CaptionerWarning

MISSING_VALUES = ("nan", "none", "null", "<na>")  # what tables write where they have no caption
HUGGING_FACE_NAMES = ("metadata.jsonl", "metadata.csv")


def _is_csv(source: CaptionSource) -> bool:
    if source.file.suffix.lower() in (".csv", ".tsv") and not _is_flickr30k(source):
        return True
    if source.first_line.lstrip().startswith(("{", "[")):  # JSON: all of COCO's in one line, say
        return False
    columns = {name.strip(' "') for name in re.split(r"[,;\t]", source.first_line.lower())}
    return not columns.isdisjoint(IMAGE_NAMES) and not columns.isdisjoint(CAPTION_NAMES)


def read_csv(source: CaptionSource) -> CaptionFile:
    """A table with a header, separated by commas, semicolons or tabs.

    Columns other than image, caption and split are ignored. Raises CaptionerError, naming the line,
    for a header or a row that is not right, and for captions that are no captions: a missing value,
    a Python list, a text of several lines (as a quote too many makes it).
    """
    return join_rows(_csv_rows(source), source.file)


def _csv_rows(source: CaptionSource) -> Iterator[CaptionRecord]:
    file = source.file
    delimiter = max(",;\t", key=source.first_line.count)
    reader = csv.reader(
        StringIO(source.text), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    image, caption, split, columns = -1, -1, -1, 0
    bad: dict[str, list[int]] = {}
    start = 1
    try:
        for row in reader:
            line, start = start, reader.line_num + 1
            if not row:
                continue
            if not columns:
                columns = len(row)
                image, caption, split = _find_columns(row, file)
                continue
            if len(row) != columns:
                raise CaptionerError(
                    f"{file}, line {line}: {len(row)} columns where the header has {columns}; put "
                    'a caption with commas in double quotes, "like, this"'
                )
            if not row[image].strip() and not row[caption].strip():
                continue  # spreadsheets end in rows of nothing but separators
            problem = _problem_of(row[image], row[caption])
            if problem:
                bad.setdefault(problem, []).append(line)
            yield CaptionRecord(
                row[image].strip(), row[image].strip(), (row[caption],), _cell(row, split)
            )
    except csv.Error as error:
        raise CaptionerError(
            f"{file}, line {start}: {error}; look for a double quote too many there"
        ) from error
    if not columns:
        raise CaptionerError(f"{file} is empty; expected a header with the columns image, caption")
    for problem, lines in bad.items():
        raise CaptionerError(
            f"{file}: {problem} (line {first_three(lines)}); give each caption a row of its own, "
            "on one line, or remove the row"
        )


def _find_columns(header: list[str], file: Path) -> tuple[int, int, int]:
    """The positions of the columns image, caption and split; -1 where there is no split."""
    names = [name.strip().lower() for name in header]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise CaptionerError(f"{file}: two columns are called {twice[0]}; rename one of them")
    image = next((names.index(name) for name in IMAGE_NAMES if name in names), -1)
    caption = next((names.index(name) for name in CAPTION_NAMES if name in names), -1)
    if image < 0 or caption < 0:
        raise CaptionerError(
            f"{file}: its first line is {','.join(header)!r}; expected a header with the columns "
            "image and caption"
        )
    if "" in names:
        warnings.warn(
            f"{file}: column {names.index('') + 1} of the header has no name; it is not read",
            CaptionerWarning,
            stacklevel=2,
        )
    return image, caption, names.index("split") if "split" in names else -1


def _cell(row: list[str], column: int) -> str | None:
    """The text of a cell; None where it is empty or there is no such column."""
    return row[column].strip() or None if column >= 0 else None


def _problem_of(image: str, caption: str) -> str | None:
    """Why a row is not a picture and a caption that a person wrote; None where it may be."""
    if image.strip().lower() in ("", *MISSING_VALUES):
        return f"{image.strip()!r} as the name of a picture, which is a missing value"
    text = caption.strip()
    if text.lower() in MISSING_VALUES:
        return f"{text!r} as a caption, which is a missing value"
    if re.fullmatch(r"""\[\s*['"].*['"]\s*\]""", text, re.DOTALL):
        return "a list of texts as one caption"
    if "\n" in text:
        return "a caption goes over several lines, as after a double quote too many"
    return None


def _is_json_lines(source: CaptionSource) -> bool:
    if source.file.suffix.lower() in (".jsonl", ".ndjson"):
        return True
    if not source.first_line.lstrip().startswith("{"):
        return False
    if source.text.strip() == source.first_line.strip():  # a whole file of COCO's may be one line
        record = source.parsed_json()
        return isinstance(record, dict) and any(name in record for name in IMAGE_NAMES)
    try:
        return isinstance(json.loads(source.first_line), dict)
    except (ValueError, RecursionError):
        return False


def read_jsonl(source: CaptionSource) -> CaptionFile:
    """An object `{"image": ..., "caption": ...}` per line; blank lines are skipped.

    Raises CaptionerError, naming the line, where it is not such an object.
    """
    return join_rows(_json_rows(source), source.file)


def _json_rows(source: CaptionSource) -> Iterator[CaptionRecord]:
    for number, value in parse_json_lines(source.text, source.file):
        yield record_of(value, f"{source.file}, line {number}:")


def _is_flickr8k(source: CaptionSource) -> bool:
    return bool(re.match(r"\S.*#\d+\t", source.first_line))


def read_flickr8k(source: CaptionSource) -> CaptionFile:
    """Flickr8k.token.txt: `a.jpg#0`, a tab, the caption."""

    def parse(line: str) -> tuple[str, str] | None:
        name, tab, caption = line.partition("\t")
        name, mark, number = name.rpartition("#")
        return (name, caption) if tab and mark and number.isdecimal() else None

    return _read_lines(source, parse, first=0, expected="a.jpg#0, a tab and a caption")


def _is_flickr30k(source: CaptionSource) -> bool:
    return bool(re.match(r" *image_name *\| *comment_number *\|", source.first_line, re.IGNORECASE))


def read_flickr30k(source: CaptionSource) -> CaptionFile:
    """Flickr30k's results.csv: `a.jpg| 0| caption`; one of its rows lacks the second separator."""

    def parse(line: str) -> tuple[str, str] | None:
        row = re.fullmatch(r"([^|]+)\|\s*\d+\s*[|\s]\s*(.*)", line)
        return (row[1], row[2]) if row else None

    return _read_lines(source, parse, first=1, expected="a.jpg| 0| a caption")


def _read_lines(
    source: CaptionSource,
    parse: Callable[[str], tuple[str, str] | None],
    *,
    first: int,
    expected: str,
) -> CaptionFile:
    """Read a picture's name and a caption from each line that is not blank, from line `first`."""
    rows = []
    for number, line in enumerate(source.text.split("\n")[first:], start=first + 1):
        if line.strip():
            row = parse(line)
            if row is None:
                raise CaptionerError(f"{source.file}, line {number}: expected {expected}")
            rows.append(CaptionRecord(row[0].strip(), row[0].strip(), (row[1].strip(),)))
    return join_rows(rows, source.file)


def _is_folder(source: CaptionSource) -> bool:
    return source.file.is_dir()


def read_folder(source: CaptionSource) -> CaptionFile:
    """A folder as Hugging Face's imagefolder, or with a .txt file beside each picture.

    Each line of such a text is a caption. Texts without a picture are left out, with a warning.
    """
    folder = source.file
    for name, read in zip(HUGGING_FACE_NAMES, (read_jsonl, read_csv), strict=True):
        if (folder / name).is_file():
            return read(CaptionSource(folder / name))
    files = sorted(file for file in folder.rglob("*") if _is_visible(file))
    same_stem: defaultdict[Path, list[Path]] = defaultdict(list)
    for file in files:
        same_stem[file.with_suffix("")].append(file)
    records, lonely = [], []
    for text in (file for file in files if file.suffix == ".txt"):
        beside = [file for file in same_stem[text.with_suffix("")] if is_picture(file)]
        if len(beside) > 1:
            raise CaptionerError(f"{text}: belongs to {first_three(beside)}; rename all but one")
        if not beside:
            lonely.append(text.name)
            continue
        name = beside[0].relative_to(folder).as_posix()
        lines = tuple(line for line in read_text(text).split("\n") if line.strip())
        records.append(CaptionRecord(name, name, lines))
    if not records:
        raise CaptionerError(
            f"{folder}: a folder without captions; expected a .txt file beside each picture or "
            f"{HUGGING_FACE_NAMES[0]}"
        )
    if lonely:
        warnings.warn(
            f"{folder}: {len(lonely)} texts have no picture beside them and are left out: "
            f"{first_three(lonely)}",
            CaptionerWarning,
            stacklevel=2,
        )
    return CaptionFile(records)


def _is_visible(path: Path) -> bool:
    """Whether it is a file that is not hidden."""
    return not path.name.startswith(".") and path.is_file()


READERS = (
    CaptionReader("a folder with texts beside the pictures", _is_folder, read_folder),
    CaptionReader("JSON Lines", _is_json_lines, read_jsonl),
    CaptionReader("Flickr8k.token.txt", _is_flickr8k, read_flickr8k),
    CaptionReader("Flickr30k's results.csv", _is_flickr30k, read_flickr30k),
    CaptionReader("CSV", _is_csv, read_csv),
)
