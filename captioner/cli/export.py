"""captioner export: the model as ONNX graphs."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli.help_pages import OUTPUT, examples
from captioner.cli.printable import print_summary
from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.files import best_of_run, default_checkpoint, sample_folder

EXAMPLES = examples(
    "captioner export --output graphs",
    "captioner export runs/tuned --output runs/tuned",
)

MOST_PICTURES = 8


def export(
    output: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            help="Where the graphs go, and a copy of the checkpoint unless it is there.",
            rich_help_panel=OUTPUT,
        ),
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            help="A .safetensors checkpoint, or the folder of a run.",
            show_default="the bundled one",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"Check with {MOST_PICTURES} of these, beside random numbers.",
            show_default="captioner's samples",
        ),
    ] = None,
) -> None:
    """Write the model as ONNX graphs, which run without torch.

    Writes a graph each for the encoder, the start of a caption, a word and answers, and a .json
    with vocabularies, preprocessing and decoding. The weights stay in the checkpoint, to which the
    graphs refer. Each graph is checked against torch. captioner caption, ask, attend and serve use
    graphs that are beside their checkpoint. Needs the extra onnx-export.
    """
    from captioner.data.images import open_picture, to_array
    from captioner.model.description import read_description
    from captioner.onnx.export import export as write

    file = default_checkpoint() if checkpoint is None else checkpoint
    file = best_of_run(file) if file.is_dir() else file
    size = read_description(file).about["model"]["image_size"]
    folder = sample_folder() if pictures is None else pictures
    found = [] if folder is None else sorted(folder.iterdir())
    chosen = [one for one in found if one.name.lower().endswith(PICTURE_SUFFIXES)][:MOST_PICTURES]
    written = write(file, output, [to_array(open_picture(one), size) for one in chosen])
    print(*written, sep="\n")
    print_summary(
        f"checked against torch; next: captioner caption photo.jpg --checkpoint "
        f"{output / file.name}"
    )
