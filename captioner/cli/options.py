"""Options that several commands share. Decoding that is not asked for is the checkpoint's own."""

from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from captioner.cli.help_pages import (
    DECODING,
    FROM_CHECKPOINT,
    MODEL,
    OUTPUT,
    PICTURES,
    SCORES,
)
from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError


class RuntimeName(StrEnum):
    """The choices of --runtime."""

    TORCH = "torch"
    ONNX = "onnx"


class PrecisionName(StrEnum):
    """The choices of --precision."""

    FLOAT32 = "float32"
    BF16 = "bf16"


Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A .safetensors checkpoint, or the folder of a run.",
        show_default="the bundled one",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="cpu, cuda, cuda:1, mps ...",
        show_default="a GPU where there is one",
        rich_help_panel=MODEL,
    ),
]
Runtime = Annotated[
    RuntimeName | None,
    typer.Option(
        help="What computes the model.",
        show_default="onnx on a processor where it is installed and has the model's graphs",
        rich_help_panel=MODEL,
    ),
]
Precision = Annotated[
    PrecisionName,
    typer.Option(
        help="bf16: pictures are encoded in half the time where the processor has it; one caption "
        "in ten differs.",
        rich_help_panel=MODEL,
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Pictures looked at together.", rich_help_panel=MODEL),
]
BeamSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Captions kept at each word; 1 is greedy.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
NumCaptions = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Captions per picture, best first.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
MaxWords = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="The longest caption.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="POWER",
        help="A caption's score is log probability / length to this power.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
BlockNgrams = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Never repeat a sequence of this many words; 0: allow it.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
Sample = Annotated[
    bool | None,
    typer.Option("--sample", help="Draw the words instead of searching.", rich_help_panel=DECODING),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="T",
        help="With --sample: below 1 is safer, above 1 more surprising.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="With --sample: draw from so many likeliest words; 0: from all.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
TopP = Annotated[
    float | None,
    typer.Option(
        max=1,
        metavar="P",
        help="With --sample: draw from the likeliest words of this total.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="With --sample: the same seed draws the same words.",
        show_default=FROM_CHECKPOINT,
        rich_help_panel=DECODING,
    ),
]
Split = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="train, val or test: of a file that says which pictures are in which.",
        rich_help_panel=PICTURES,
    ),
]
Images = Annotated[
    list[Path],
    typer.Option(
        metavar="DIR", help="Where the pictures are; may be repeated.", rich_help_panel=PICTURES
    ),
]
Record = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="Keep the scores in the --checkpoint given, under this name.",
        rich_help_panel=OUTPUT,
    ),
]
SkipMissing = Annotated[
    bool,
    typer.Option(
        "--skip-missing",
        help="Leave out pictures that are not there, up to a tenth.",
        rich_help_panel=PICTURES,
    ),
]
NormaliseUnanimous = Annotated[
    bool,
    typer.Option(
        "--normalise-unanimous",
        help="Normalise people's answers also where all are equal; the official code does not.",
        rich_help_panel=SCORES,
    ),
]
TrainingQuestions = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Questions trained on: score those with other words apart. May be repeated.",
        rich_help_panel=SCORES,
    ),
]


def choose_decoding(stored: DecodingConfig, arguments: dict[str, Any]) -> DecodingConfig:
    """The checkpoint's decoding with the options that were given in place of its own.

    arguments: those of the command, by name; the ones that are no decoding option do not count.
    Raises CaptionerError for settings that make no sense, alone or together.
    """
    given = {
        f.name: arguments[f.name]
        for f in fields(DecodingConfig)
        if arguments.get(f.name) is not None
    }
    chosen = replace(stored, **given)
    idle = [name for name in ("temperature", "top_k", "top_p", "seed") if name in given]
    if idle and not chosen.sample:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
        raise CaptionerError(f"{options} only counts with --sample; add that or leave this out")
    return chosen
