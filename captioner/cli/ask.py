"""captioner ask: a picture and a question in, the answer out."""

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, PICTURES, examples
from captioner.cli.printable import print_error, print_summary, printable
from captioner.cli.progress import show_progress
from captioner.cli.sources import Source, is_one_picture, list_pictures, require_file
from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.errors import CaptionerError

if TYPE_CHECKING:
    from captioner.decoding.outputs import Answer

PAIRS_FORM = '{"image": "a.jpg", "question": "what is this?"}'

# Of 2,134 held-out questions (DAQUAR, VQA v2 yes/no, made from captions) the bundled model answers
# 28% rightly below this probability and 79% from it on.
UNSURE = 0.5

Asked = tuple[Source, str]


EXAMPLES = examples(
    'captioner ask photo.jpg "what color is the dog?"',
    'captioner ask photos "is there a dog?"',
    "captioner ask --pairs questions.jsonl --json",
)


def ask(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH... QUESTION",
            help="Files, folders, globs, web addresses or -, and the question last.",
            show_default=False,
        ),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Instead: JSON Lines, {PAIRS_FORM} each.",
            rich_help_panel=PICTURES,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Print so many answers with their probabilities.",
            rich_help_panel=OUTPUT,
            metavar="N",
            show_default="the best alone; with --json 5",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line a question.", rich_help_panel=OUTPUT)
    ] = False,
    batch_size: options.BatchSize = 16,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    runtime: options.Runtime = None,
) -> None:
    """Answer a question about a picture, or about each of several.

    One picture gives the answer alone, and (unsure) on stderr where its probability is below 0.5:
    of such answers about a quarter are right, of the others about four fifths. Several pictures
    give lines of the path, a tab and the answer; a file of pairs gives the path, the question and
    the answer. With --top a line an answer, its probability last. A picture that cannot be read
    and a question without a known word are reported, the rest go on, and the exit status is 1.
    """
    asked, columns = _find(arguments or [], pairs)
    if columns == 0 and not as_json:
        require_file(asked[0][0])

    from captioner.api import Captioner

    model = Captioner.load(checkpoint, device, runtime=runtime)
    if pairs is None and not as_json:
        model.parse(asked[0][1])  # the same question of each: one error is enough
    replies = model.answer_each(_by_picture(asked), top=top or 5, batch_size=batch_size)
    results: Iterator[Answer | CaptionerError] = (one for _, found in replies for one in found)
    if not sys.stdout.isatty():  # on a terminal, the answers themselves show how far it is
        results = show_progress(results, total=len(asked), unit="questions")
    failed = 0
    for (picture, question), result in zip(asked, results, strict=True):
        failed += isinstance(result, CaptionerError)
        if as_json:
            print(json.dumps(to_record(str(picture), question, result)), flush=True)
        elif isinstance(result, CaptionerError):
            if columns == 0:
                raise result
            print_error(result)
        else:
            start = [str(picture), question][:columns]
            print(*_lines(start, result, top), sep="\n", flush=True)
            if columns == 0 and top is None and result.probability < UNSURE:
                print_summary(f"(unsure: probability {result.probability:.2f}; see --top 5)")
    if failed:
        raise typer.Exit(1)


def _by_picture(asked: Sequence[Asked]) -> list[tuple[Source, list[str]]]:
    """Neighbouring questions about the same picture together, so that it is looked at once."""
    groups: list[tuple[Source, list[str]]] = []
    for picture, question in asked:
        if not groups or str(groups[-1][0]) != str(picture):
            groups.append((picture, []))
        groups[-1][1].append(question)
    return groups


def _find(arguments: Sequence[str], pairs: Path | None) -> tuple[list[Asked], int]:
    """What is asked of which picture, and how many columns stand before each answer."""
    if pairs is not None:
        if arguments:
            raise CaptionerError(
                f"--pairs brings its own pictures and questions; leave {arguments[0]!r} out"
            )
        return read_pairs(pairs), 2
    if len(arguments) < 2:
        raise CaptionerError(
            "expected a picture and then a question, as in: "
            'captioner ask photo.jpg "what color is the dog?"'
        )
    *paths, question = arguments
    if os.path.exists(question) or question.lower().endswith(PICTURE_SUFFIXES):
        raise CaptionerError(
            f"{question!r} is a file where the question should be; the question comes last"
        )
    if not question.strip():
        raise CaptionerError("the question is empty; ask something, as in 'what animal is this?'")
    another = [path for path in paths if path.endswith("?") and " " in path]
    if another and not os.path.exists(another[0]):
        raise CaptionerError(
            f"{another[0]!r} and {question!r} are two questions; ask one at a time, or write the "
            f"pictures and questions into a file for --pairs ({PAIRS_FORM} a line)"
        )
    words = [number for number, path in enumerate(paths) if _is_word(path)]
    if words and len(paths) > 1:
        pictures = [quote(path) for path in paths[: words[0]]] or ["photo.jpg"]
        whole = " ".join([*paths[words[0] :], question])
        raise CaptionerError(
            f"the question is {len(paths) - words[0] + 1} arguments and {paths[words[0]]!r} is no "
            f'picture; put it in quotes: captioner ask {" ".join(pictures)} "{whole}"'
        )
    alone = is_one_picture(paths)
    return [(picture, question) for picture in list_pictures(paths)], 0 if alone else 1


def _is_word(path: str) -> bool:
    """Whether an argument reads like a word of a question that is not in quotes."""
    letters = r"[^\W\d_]+"
    is_word = re.fullmatch(rf"{letters}(['’-]{letters})*[?,!]?", path)
    return is_word is not None and not os.path.exists(path)


def read_pairs(file: Path) -> list[Asked]:
    """The pictures and questions of a JSON Lines file; paths are relative to the file's folder.

    Raises CaptionerError, naming the line, for one that is no such pair.
    """
    from captioner.data.records import parse_json_lines, read_text

    found: list[Asked] = []
    for number, pair in parse_json_lines(read_text(file), file):
        image, question = (
            (pair.get("image"), pair.get("question")) if isinstance(pair, dict) else (None, None)
        )
        if not isinstance(image, str) or not image or not isinstance(question, str):
            raise CaptionerError(f"{file}, line {number}: expected {PAIRS_FORM}")
        if image.startswith(("http://", "https://")):
            found += [(picture, question) for picture in list_pictures([image])]
        else:
            found.append((file.parent / image, question))
    if not found:
        raise CaptionerError(f"{file} has no lines; expected {PAIRS_FORM} in each")
    return found


def _lines(start: list[str], result: "Answer", top: int | None) -> list[str]:
    if top is None:
        return ["\t".join(map(printable, [*start, result.text]))]
    return [
        "\t".join(map(printable, [*start, one.text, f"{one.probability:.4f}"]))
        for one in result.top
    ]


def to_record(image: str, question: str, result: "Answer | CaptionerError") -> dict[str, object]:
    """What --json prints for one question."""
    record: dict[str, object] = {"image": image, "question": question}
    if isinstance(result, CaptionerError):
        return record | {"error": str(result)}
    choices = [{"answer": one.text, "probability": one.probability} for one in result.top]
    return record | {"answer": result.text, "probability": result.probability, "top": choices}
