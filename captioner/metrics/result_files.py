"""Reads result files: one caption per picture, or one answer per question."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from captioner.data.caption_source import CaptionSource
from captioner.data.caption_tables import read_csv
from captioner.data.records import parse_json, parse_json_lines, read_text, shown
from captioner.errors import CaptionerError

Id = int | str
Value = TypeVar("Value")


def read_results(file: Path) -> dict[Id, str]:
    """Read captions by picture id.

    The file is COCO's result form, a list of {"image_id", "caption"}; "id" serves for "image_id",
    and so do a JSON object from id to caption, JSON Lines, and what `captioner caption` prints with
    --json or --csv, by the pictures' names and with the best caption of each. Raises CaptionerError
    where it is none of these, names a picture twice or has a caption that is empty or no text.
    """
    if file.suffix.lower() == ".csv":
        pairs = _table_pairs(file)
    else:
        form = 'a list of {"image_id": ..., "caption": "..."}'
        pairs = _pairs(file, ("image_id", "id", "image"), "caption", form)
    captions = _by_id(pairs, file, "picture", "caption")
    for picture, caption in captions.items():
        if not isinstance(caption, str) or not caption.strip():
            what = (
                "an empty caption" if isinstance(caption, str) else f"{shown(caption)} as a caption"
            )
            raise CaptionerError(f"{file}: {what} for picture {picture!r}; expected text")
    return captions


def read_answers(file: Path) -> dict[Id, str]:
    """Read answers by question id.

    The file is VQA's result form, a list of {"question_id", "answer"}; a JSON object from id to
    answer and JSON Lines serve too. An answer may be empty and is then wrong. Raises CaptionerError
    where the file is none of these, answers a question twice or has an answer that is no text.
    """
    form = 'a list of {"question_id": ..., "answer": "..."}'
    answers = _by_id(_pairs(file, ("question_id",), "answer", form), file, "question", "answer")
    for question, answer in answers.items():
        if not isinstance(answer, str):
            raise CaptionerError(
                f"{file}: {shown(answer)} as the answer to question {question!r}; expected text"
            )
    return answers


def _table_pairs(file: Path) -> Iterator[tuple[Id, Any]]:
    """The pictures and their first captions of a CSV file."""
    for record in read_csv(CaptionSource(file)).records:
        for caption in record.captions[:1]:
            yield record.file_name, caption


def _pairs(
    file: Path, id_names: tuple[str, ...], value_name: str, form: str
) -> Iterator[tuple[Id, Any]]:
    content = _content(file)
    if isinstance(content, dict) and value_name in content:
        content = [content]  # a file of JSON Lines with one line
    if isinstance(content, dict):
        for key in ("annotations", "questions", "images"):
            if key in content:
                raise CaptionerError(f"{file} is a file of {key}, not of results; expected {form}")
        yield from content.items()
        return
    if not isinstance(content, list) or not content:
        raise CaptionerError(f"{file} is not a results file; expected {form}")
    for number, record in enumerate(map(_with_caption, content), start=1):
        if isinstance(record, dict) and "error" in record and value_name not in record:
            continue  # of a picture that captioner could not read
        known = isinstance(record, dict) and value_name in record
        name = next((name for name in id_names if known and name in record), None)
        if name is None:
            raise CaptionerError(f"{file}: record {number} is not a result; expected {form}")
        if not isinstance(record[name], int | str):
            raise CaptionerError(
                f"{file}: record {number} has the {name} {shown(record[name])}; expected a "
                "number or a text"
            )
        yield record[name], record[value_name]


def _with_caption(record: Any) -> Any:
    """A record of `captioner caption --json` with its best caption as "caption"; others as is."""
    try:
        return {"image": record["image"], "caption": record["captions"][0]["text"]}
    except (LookupError, TypeError):
        return record


def _content(file: Path) -> Any:
    """The value of a JSON file, or the list of the values of a JSON Lines file."""
    text = read_text(file)
    first, _, rest = text.strip().partition("\n")
    is_lines = rest and first.startswith("{") and first.rstrip().endswith("}")
    if not is_lines and file.suffix.lower() != ".jsonl":
        return parse_json(text, f"{file}:")
    return [value for _, value in parse_json_lines(text, file)]


def _by_id(pairs: Iterator[tuple[Id, Any]], file: Path, noun: str, what: str) -> dict[Id, Any]:
    pairs_read = list(pairs)
    twice = [key for key, count in Counter(key for key, _ in pairs_read).items() if count > 1]
    if twice:
        raise CaptionerError(
            f"{file} has more than one {what} for {name_first(twice, noun)}; keep one per {noun}"
        )
    if not pairs_read:
        raise CaptionerError(f"{file} has no results; expected at least one")
    return dict(pairs_read)


def with_known_ids(results: Mapping[Id, Value], known: Sequence[Id], noun: str) -> dict[Id, Value]:
    """The results with ids as `known` has them.

    A number may be a text in one of the two, and a picture's name may have its folder before it,
    where no other picture has the same name. Raises CaptionerError where two results are for the
    same id.
    """
    exact = set(known)
    by_text = {str(key): key for key in known}
    shared = Counter(_without_folder(key) for key in known)
    by_name = {name: key for key in known if shared[name := _without_folder(key)] == 1}
    matched = [
        key if key in exact else by_text.get(str(key), by_name.get(_without_folder(key), key))
        for key in results
    ]
    twice = [key for key, count in Counter(matched).items() if count > 1]
    if twice:
        raise CaptionerError(f"more than one result for {name_first(twice, noun)}; keep one each")
    return dict(zip(matched, results.values(), strict=True))


def _without_folder(key: Id) -> str:
    return re.split(r"[/\\]", str(key))[-1]


def name_first(ids: Sequence[Id], noun: str) -> str:
    """How many pictures or questions there are, with the ids of the first three."""
    first = ", ".join(repr(key) for key in ids[:3])
    if len(ids) == 1:
        return f"{noun} {first}"
    return f"{len(ids):,} {noun}s ({first}{', ...' if len(ids) > 3 else ''})"
