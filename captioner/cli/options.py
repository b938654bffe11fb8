"""Options that several commands share; their defaults are those of DecodingConfig."""

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A .safetensors checkpoint. [default: the one that ships]"),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1, mps ... [default: a GPU where there is one]"),
]
BatchSize = Annotated[int, typer.Option(min=1, help="Pictures looked at together.")]
BeamSize = Annotated[int, typer.Option(help="Captions kept at each word; 1 is greedy.")]
NumCaptions = Annotated[int, typer.Option(help="Captions a picture, best first.")]
MaxWords = Annotated[int, typer.Option(help="The longest caption.")]
LengthPenalty = Annotated[
    float,
    typer.Option(help="A caption's score is log probability / length to this power."),
]
BlockNgrams = Annotated[
    int, typer.Option(help="Say no sequence of so many words twice; 0 allows it.")
]
Sample = Annotated[bool, typer.Option("--sample", help="Draw the words instead of searching.")]
Temperature = Annotated[
    float, typer.Option(help="With --sample: below 1 is safer, above 1 more surprising.")
]
TopK = Annotated[
    int, typer.Option(help="With --sample: draw from so many likeliest words; 0: from all.")
]
TopP = Annotated[
    float, typer.Option(help="With --sample: draw from the likeliest words of this total.")
]
Seed = Annotated[int, typer.Option(help="With --sample: the same seed draws the same words.")]
