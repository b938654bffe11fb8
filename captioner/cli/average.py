"""captioner average: one checkpoint of the mean weights of several."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from captioner.cli.help_pages import OUTPUT, examples
from captioner.cli.printable import print_summary
from captioner.errors import CaptionerError
from captioner.files import check_output

EXAMPLES = examples(
    "captioner average runs/a/best.safetensors runs/b/best.safetensors --output mean.safetensors",
    "captioner average runs/a/last.safetensors runs/b/last.safetensors \\",
    "    --output mean.safetensors --half-precision",
)


def average(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Checkpoints fine-tuned from a common start."),
    ],
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="The checkpoint to write.", rich_help_panel=OUTPUT)
    ],
    half_precision: Annotated[
        bool,
        typer.Option(
            "--half-precision", help="Store float16, half the size.", rich_help_panel=OUTPUT
        ),
    ] = False,
) -> None:
    """Average the weights of several checkpoints of the same network.

    The mean of epochs or stages of a run, or of runs fine-tuned from the same checkpoint, is often
    better than the best of them. The decoding settings are those of the first checkpoint.
    """
    if output.exists():
        raise CaptionerError(f"{output} exists already; choose another --output")
    check_output(output)

    from captioner.model.averaging import average as mean_of
    from captioner.model.checkpoint import save

    save(mean_of(checkpoints), output, half=half_precision)
    print(output)
    print_summary(
        f"wrote {output}, the mean of {len(checkpoints)} checkpoints, not scored yet; next: "
        f"captioner evaluate captions --checkpoint {quote(str(output))} --images ... "
        "--annotations ..."
    )
