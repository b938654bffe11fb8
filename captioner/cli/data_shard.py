"""captioner data shard: pictures with their captions in tar files."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, examples
from captioner.cli.printable import print_summary
from captioner.cli.progress import show_progress

SHARD_EXAMPLES = examples(
    "captioner data shard photos captions.csv shards",
    "captioner data shard coco/train2017 captions_train2017.json shards/train",
)


def shard(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Where the pictures are.")],
    captions: Annotated[
        Path,
        typer.Argument(metavar="CAPTIONS", help="Any caption file that data/README.md shows."),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    split: options.Split = "train",
    skip_missing: options.SkipMissing = False,
    pictures_per_shard: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Pictures in a tar file.", rich_help_panel=OUTPUT),
    ] = 1000,
) -> None:
    """Pack pictures with their captions into tar files to train from.

    They are in WebDataset's form, each with an index of where its pictures are. The pictures are
    neither decoded nor changed: check them first with captioner data check.
    """
    from captioner.data.caption_files import read_captions
    from captioner.data.shard_writing import make_shards

    pictures = read_captions(captions, [images], split, skip_missing=skip_missing)
    written = make_shards(pictures, output, pictures_per_shard=pictures_per_shard)
    for _ in show_progress(written, total=len(pictures)):
        pass
    print(output)
    print_summary(
        f"wrote {len(pictures)} pictures in {-(-len(pictures) // pictures_per_shard)} shards to "
        f"{output}; next: captioner train --images {quote(str(output))} --captions "
        f"{quote(str(output))} ..."
    )
