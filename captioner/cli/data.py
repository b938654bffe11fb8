"""captioner data: check a set before training, make one, or download COCO."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.data_questions import BALANCE_EXAMPLES, QUESTIONS_EXAMPLES, balance, questions
from captioner.cli.data_shard import SHARD_EXAMPLES, shard
from captioner.cli.help_pages import DATA, OUTPUT, Command, examples, show_help_alone
from captioner.cli.printable import print_summary, print_warning, printable
from captioner.cli.progress import Progress, show_progress
from captioner.errors import CaptionerError

if TYPE_CHECKING:
    from captioner.data.checks import Report
    from captioner.data.vocabulary import Vocabulary

app = typer.Typer(
    help="Check a set before training, make one, or download COCO.",
    callback=show_help_alone,
    invoke_without_command=True,
)

SHOWN = 3  # problems of a kind that are named; --json names them all


@app.command(
    cls=Command,
    epilog=examples(
        "captioner data check --images photos --captions captions.csv",
        "captioner data check --images photos --captions captions.csv --start-from shipped",
    ),
)
def check(
    images: Annotated[
        list[Path],
        typer.Option(
            metavar="DIR", help="Where the pictures are; may be repeated.", rich_help_panel=DATA
        ),
    ],
    captions: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Any caption file that data/README.md shows.", rich_help_panel=DATA
        ),
    ],
    split: options.Split = "train",
    val_captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Held-out captions: are any of their pictures the same?",
            rich_help_panel=DATA,
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also report the words that this checkpoint (or shipped) lacks.",
            rich_help_panel=DATA,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The whole report as JSON.", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Read captions and decode every picture.

    The exit status is 1 if something is wrong.
    """
    from captioner.data.caption_files import has_captions, read_caption_file
    from captioner.data.checks import examine, report
    from captioner.data.picture_files import find_pictures
    from captioner.data.records import first_three

    content = read_caption_file(captions, split)
    if not has_captions(content):
        raise CaptionerError(f"{captions}: no captions found; expected at least one")
    held_out = read_caption_file(val_captions, "val").records if val_captions else []
    names = [record.file_name for record in content.records]
    found = find_pictures(names, images)
    found_val = find_pictures([record.file_name for record in held_out], images)
    not_found = [*found_val.missing, *found_val.ambiguous]
    if not_found:
        print_warning(
            f"{val_captions}: {len(not_found)} of its pictures were not found, so that they are "
            f"not compared: {first_three(not_found)}; give their folders with --images too"
        )
    val_paths = list(found_val.paths.values())
    paths = list(dict.fromkeys((*found.paths.values(), *val_paths)))
    examined = list(show_progress(examine(paths), total=len(paths)))
    result = report(content, found, examined, val_paths=val_paths, known=_known(start_from))
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    else:
        _print_report(result)
    if any(result.problems().values()):
        raise typer.Exit(1)


def _known(start_from: str | None) -> "Vocabulary | None":
    """The caption vocabulary of a checkpoint; None without one."""
    if start_from is None:
        return None
    from captioner.model.checkpoint import checkpoint_path, load

    return load(checkpoint_path(start_from)).model.caption_parts()[1]


def _print_report(found: "Report") -> None:
    counts = {
        "pictures": found.pictures,
        "pictures without captions": found.pictures_without_captions,
        "captions": found.captions,
        "different words": found.vocabulary,
        "words in the longest caption": found.longest_caption,
        "words that will be known": found.known_words,
        "unknown words, per cent": round(100 * found.unknown_share, 1),
        "captions of unknown words": found.captions_without_known,
        "found without their folder": len(found.partly),
    }
    for name, count in counts.items():
        print(f"{name:<28} {count:>8}")
    if found.unspaced:
        print("    most captions have no spaces: train with --tokens character")
    if found.commonest_unknown:
        print(f"    commonest unknown: {', '.join(found.commonest_unknown)}")
    for name, problems in found.problems().items():
        print(f"{name:<28} {len(problems):>8}")
        for problem in problems[:SHOWN]:
            line = " = ".join(problem) if isinstance(problem, list) else problem
            print(f"    {printable(line)}")
        if len(problems) > SHOWN:
            print("    ... (--json names them all)")


@app.command(
    cls=Command,
    epilog=examples(
        "captioner data convert captions.csv captions.json",
        "captioner data convert dataset_flickr8k.json captions_val.json --split val",
    ),
)
def convert(
    captions: Annotated[
        Path, typer.Argument(metavar="IN", help="Any caption file that data/README.md shows.")
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new .json file.")],
    split: options.Split = "train",
) -> None:
    """Write captions of any form in COCO's form."""
    from captioner.data.caption_files import read_caption_file
    from captioner.data.caption_json import write_coco

    if output.exists():
        raise CaptionerError(f"{output} is already there; choose another name")
    content = read_caption_file(captions, split)
    if not content.records and not content.unlisted:
        raise CaptionerError(f"{captions}: no pictures found; expected at least one")
    pictures, count = write_coco(content, output)
    part = f" in split {split}" if any(record.split for record in content.records) else ""
    print(f"{output}: {count} captions of {pictures} pictures{part}")


@app.command(
    cls=Command,
    epilog=examples(
        "captioner data shapes shapes",
        "captioner data shapes small --images 100 --size 64 --seed 1",
    ),
)
def shapes(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    images: Annotated[
        int,
        typer.Option(
            help="Pictures; a fifth of them for validation.", metavar="N", rich_help_panel=DATA
        ),
    ] = 2000,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="The same seed makes the same set.", metavar="N", rich_help_panel=DATA
        ),
    ] = 0,
    size: Annotated[
        int,
        typer.Option(
            help="Width and height of a picture, in pixels.", metavar="N", rich_help_panel=DATA
        ),
    ] = 224,
) -> None:
    """Make pictures of shapes with captions, questions and boxes."""
    from captioner.data.shapes.maker import make_shapes

    for _ in show_progress(make_shapes(output, images=images, seed=seed, size=size), total=images):
        pass
    print(output)
    config = quote(str(output / "training.toml"))
    print_summary(
        f"wrote {images} pictures with captions, questions and boxes to {output}; next: "
        f"captioner train --config {config} --output runs/shapes"
    )


@app.command(
    cls=Command,
    epilog=examples(
        "captioner data coco coco",
        "captioner data coco coco --year 2017 --from http://mirror.example.org",
    ),
)
def coco(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to put it in.")],
    year: Annotated[
        int,
        typer.Option(help="2014 (21 GB) or 2017 (20 GB).", metavar="YEAR", rich_help_panel=DATA),
    ] = 2014,
    server: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="URL",
            help="A mirror.",
            rich_help_panel=DATA,
            show_default="COCO's own server",
        ),
    ] = None,
) -> None:
    """Download COCO's captions and pictures.

    Run it again to go on after a break.
    """
    from captioner.data.coco_download import COCO_SERVER, download_coco

    with Progress() as progress:
        download_coco(
            output,
            year=year,
            server=server or COCO_SERVER,
            progress=partial(progress.update, unit="bytes"),
        )
    print(output)


app.command(cls=Command, epilog=SHARD_EXAMPLES)(shard)
app.command(cls=Command, epilog=QUESTIONS_EXAMPLES)(questions)
app.command(cls=Command, epilog=BALANCE_EXAMPLES)(balance)
