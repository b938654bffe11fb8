"""Options that several commands share. Decoding that is not asked for is the checkpoint's own."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError

Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .safetensors checkpoint. [default: the bundled one]"),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps ... [default: a GPU where there is one]"),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures looked at together.")]
BeamSize = Annotated[
    int | None, typer.Option(min=1, help="Captions kept at each word; 1 is greedy.")
]
NumCaptions = Annotated[int | None, typer.Option(min=1, help="Captions a picture, best first.")]
MaxWords = Annotated[int | None, typer.Option(min=1, help="The longest caption.")]
LengthPenalty = Annotated[
    float | None,
    typer.Option(min=0, help="A caption's score is log probability / length to this power."),
]
BlockNgrams = Annotated[
    int | None, typer.Option(min=0, help="Never repeat a sequence of this many words; 0: allow it.")
]
Sample = Annotated[
    bool | None, typer.Option("--sample", help="Draw the words instead of searching.")
]
Temperature = Annotated[
    float | None, typer.Option(help="With --sample: below 1 is safer, above 1 more surprising.")
]
TopK = Annotated[
    int | None,
    typer.Option(min=0, help="With --sample: draw from so many likeliest words; 0: from all."),
]
TopP = Annotated[
    float | None,
    typer.Option(max=1, help="With --sample: draw from the likeliest words of this total."),
]
Seed = Annotated[
    int | None, typer.Option(min=0, help="With --sample: the same seed draws the same words.")
]
Split = Annotated[
    str, typer.Option(help="train, val or test: of a file that says which pictures are in which.")
]
SkipMissing = Annotated[
    bool,
    typer.Option("--skip-missing", help="Leave out pictures that are not there, up to a tenth."),
]
NormaliseUnanimous = Annotated[
    bool,
    typer.Option(
        "--normalise-unanimous",
        help="Normalise people's answers also where all are equal; the official code does not.",
    ),
]
TrainingQuestions = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Questions trained on: score those with other words apart. May be repeated.",
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
