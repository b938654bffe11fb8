"""captioner gradients: how the gradient fades with distance in time."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.help_pages import MODEL, OUTPUT, examples
from captioner.config.settings import CELLS, MAX_SEED
from captioner.errors import CaptionerError
from captioner.files import check_output

SINGULAR_VALUES = (0.5, 1.0, 2.0)


EXAMPLES = examples(
    "captioner gradients --cell lstm --cell rnn",
    "captioner gradients --checkpoint runs/tuned/best.safetensors --output curves.png",
)


def gradients(
    cell: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{', '.join(CELLS)}; may be repeated.",
            show_default="all",
            metavar="CELL",
            rich_help_panel=MODEL,
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Measure a trained captioner; several times.",
            rich_help_panel=MODEL,
            show_default="new cells",
        ),
    ] = None,
    singular_value: Annotated[
        list[float] | None,
        typer.Option(
            help="Of new cells' recurrent weights; several times.",
            show_default="0.5, 1, 2",
            metavar="S",
            rich_help_panel=MODEL,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=2, help="How far back to look.", metavar="N", rich_help_panel=MODEL)
    ] = 40,
    hidden_size: Annotated[
        int, typer.Option(min=1, help="Of new cells.", metavar="N", rich_help_panel=MODEL)
    ] = 128,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_SEED,
            help="Decides weights and inputs.",
            metavar="N",
            rich_help_panel=MODEL,
        ),
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the curves here.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Measure how a gradient fades or grows back through time.

    Prints the norm of dL_T/dh_t by the distance T - t, a column a cell: of new cells, by the
    largest singular value of their recurrent weights, or of trained captioners.
    """
    if checkpoint and (cell or singular_value):
        raise CaptionerError(
            "--checkpoint measures that model's own cell and weights; leave --cell and "
            "--singular-value out, or --checkpoint"
        )
    unknown = [name for name in cell or () if name not in CELLS]
    if unknown:
        raise CaptionerError(f"--cell is {unknown[0]!r}; choose {', '.join(CELLS)}")
    wrong = [value for value in singular_value or () if not 0 < value < float("inf")]
    if wrong:
        raise CaptionerError(f"--singular-value is {wrong[0]}; it must be above 0")
    if output:
        if output.suffix.lower() != ".png":
            raise CaptionerError(f"{output}: unknown kind of output; expected .png")
        check_output(output)

    from captioner.model import checkpoint as checkpoints
    from captioner.visualization.gradient_flow import draw, measure_cell, measure_model

    if checkpoint:
        measured = [
            measure_model(checkpoints.load(file).model, name=file.name, steps=steps, seed=seed)
            for file in checkpoint
        ]
    else:
        measured = [
            measure_cell(
                name, hidden_size=hidden_size, steps=steps, singular_value=value, seed=seed
            )
            for name in cell or CELLS
            for value in singular_value or SINGULAR_VALUES
        ]
    widths = [max(len(line.label), 9) for line in measured]
    print("T - t", *(f"{line.label:>{w}}" for line, w in zip(measured, widths, strict=True)))
    for distance in range(steps):
        norms = (line.norms[distance] for line in measured)
        print(f"{distance:5}", *(f"{n:{w}.2e}" for n, w in zip(norms, widths, strict=True)))
    if output:
        draw(measured, output)
