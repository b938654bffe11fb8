"""captioner info: what a checkpoint is, from its own description; no weights are loaded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from captioner.cli.help_pages import OUTPUT, examples
from captioner.cli.printable import printable
from captioner.config.settings import without_retired
from captioner.errors import CaptionerError
from captioner.files import default_checkpoint
from captioner.model.description import Description, read_description

EXAMPLES = examples(
    "captioner info",
    "captioner info runs/tuned",
    "captioner info runs/tuned/best.safetensors --json",
)

BUNDLED_LICENCE = (
    "research and demonstration, not commercial use: its training pictures do not allow it; the "
    "model card README.md beside the file has the terms"
)
OTHER_LICENCE = "not recorded; that of the checkpoint it started from and of its training data"


def info(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            help="A .safetensors checkpoint, or the folder of a run.",
            show_default="the bundled one",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="The same and more as JSON.", rich_help_panel=OUTPUT),
    ] = False,
) -> None:
    """Say what a checkpoint is, how it was trained and how it scores.

    Also its decoding, library versions and licence. Reads only the description in the file;
    captioning verifies the weights as well.
    """
    found = read_description(checkpoint or default_checkpoint())
    try:
        record = to_record(found)
        lines = list(describe(record))
    except CaptionerError:  # a retired setting
        raise
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise CaptionerError(
            f"{found.file}: the checkpoint's description of itself is damaged ({error!r})"
        ) from error
    if as_json:
        print(json.dumps(record))
        return
    for name, text in lines:
        print(f"{name:<14}{printable(text)}")


def to_record(found: Description) -> dict[str, Any]:
    """What --json prints."""
    about = found.about
    model, decoding = (
        without_retired(about[table], f"{found.file} {table}") for table in ("model", "decoding")
    )
    is_bundled = found.file.resolve() == _bundled()
    return {
        "file": str(found.file),
        "bytes": found.file.stat().st_size,
        "parameters": found.parameters,
        "image_size": model["image_size"],
        "caption_words": len(about["vocabulary"] or ()),
        "question_words": len(about["question_vocabulary"] or ()),
        "answers": len(about["answers"] or ()),
        "model": model,
        "data": about["data"],
        "training": about["training"],
        "scores": about["scores"],
        "decoding": decoding,
        "versions": about["versions"],
        "licence": BUNDLED_LICENCE if is_bundled else OTHER_LICENCE,
    }


def describe(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The lines for people, each with its name."""
    model = record["model"]
    yield "file", f"{record['file']} ({record['bytes'] / 1e6:.1f} MB)"
    heads = f" with {model['attention_heads']} heads" if model["attention"] == "dot" else ""
    yield "encoder", model["encoder"]
    yield "attention", f"{model['attention']}{heads}"
    yield "decoder", f"{model['cell']} of {model['hidden_size']} units, {model['layers']} layer(s)"
    yield "parameters", f"{record['parameters']:,}"
    yield "image size", f"{record['image_size']} x {record['image_size']} pixels"
    unit = "characters" if model["tokens"] == "character" else "words"
    if record["caption_words"]:
        yield "captions", f"{record['caption_words']:,} {unit}"
    if record["answers"]:
        yield "questions", f"{record['question_words']:,} words, {record['answers']:,} answers"
    yield from _training_data(record["data"])
    if not record["scores"]:
        yield "scores", "none recorded; captioner evaluate captions --record SET keeps them"
    for score in record["scores"]:
        values = ", ".join(f"{name} {value:.3f}" for name, value in score["values"].items())
        yield "scores", f"{score['set']}: {values}"
        if "signature" in score:
            yield "", score["signature"]
    yield "decoding", ", ".join(f"{name} {value}" for name, value in record["decoding"].items())
    yield "versions", ", ".join(f"{name} {value}" for name, value in record["versions"].items())
    yield "licence", record["licence"]


def _training_data(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """A line on what it learned from, and one on what the checkpoint before it did, if other."""
    name, previous = "trained on", ""
    while data:
        files = [*data.get("captions", []), *data.get("question files", [])]
        counts = [
            f"{data[kind]:,} {kind}"
            for kind in ("pictures", "sentences", "questions")
            if data.get(kind)
        ]
        text = f"{', '.join(counts)} ({', '.join(dict.fromkeys(files))})"
        if text != previous:
            yield name, text
        previous, name, data = text, "before that", data.get("started from", {})
    if name == "trained on":
        yield name, "not recorded"


def _bundled() -> Path | None:
    try:
        return default_checkpoint().resolve()
    except CaptionerError:  # none is bundled
        return None
