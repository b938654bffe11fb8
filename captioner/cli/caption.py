"""captioner caption: pictures in, sentences out."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, PICTURES, examples
from captioner.cli.printable import print_error, printable
from captioner.cli.progress import show_progress
from captioner.cli.sources import is_one_picture, list_pictures, require_file
from captioner.errors import CaptionerError
from captioner.files import atomic_write

if TYPE_CHECKING:
    from captioner.decoding.outputs import Caption


EXAMPLES = examples(
    "captioner caption photo.jpg",
    "captioner caption photos --csv > captions.csv",
    "captioner caption photo.jpg --sample --temperature 0.8 --seed 3",
)


def caption(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Files, folders, globs, web addresses or -."),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per picture.", rich_help_panel=OUTPUT)
    ] = False,
    as_csv: Annotated[
        bool,
        typer.Option(
            "--csv",
            help="A table with the columns image and caption.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="After each caption, the mean probability of its words.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    write_txt: Annotated[
        bool,
        typer.Option(
            "--write-txt",
            help="Also write the captions to a .txt beside each picture.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="SECONDS",
            help="Of a video, a frame so often: 2s, 0.5s.",
            rich_help_panel=PICTURES,
            show_default="2s",
        ),
    ] = None,
    beam_size: options.BeamSize = None,
    num_captions: options.NumCaptions = None,
    max_words: options.MaxWords = None,
    length_penalty: options.LengthPenalty = None,
    block_ngrams: options.BlockNgrams = None,
    sample: options.Sample = None,
    temperature: options.Temperature = None,
    top_k: options.TopK = None,
    top_p: options.TopP = None,
    seed: options.Seed = None,
    batch_size: options.BatchSize = 32,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    runtime: options.Runtime = None,
    precision: options.Precision = options.PrecisionName.FLOAT32,
) -> None:
    """Say what is in each picture.

    One picture gives its caption alone; several, a folder or a pattern give lines of the path, a
    tab and the caption. A picture that cannot be read is reported, the rest go on, and the exit
    status is 1. How to search is the checkpoint's choice where no option says otherwise.
    """
    arguments = locals()
    pictures = list_pictures(paths, every=every)
    alone = is_one_picture(paths)
    if as_csv and as_json:
        raise CaptionerError("--csv and --json are two forms of the same; leave one of them out")
    if alone and not as_json:
        require_file(pictures[0])
    fileless = next((picture for picture in pictures if not isinstance(picture, Path)), None)
    if write_txt and fileless is not None:
        raise CaptionerError(f"--write-txt writes beside pictures, and {fileless} is no file")

    from captioner.api import Captioner

    model = Captioner.load(checkpoint, device, runtime=runtime, precision=precision)
    decoding = options.choose_decoding(model.decoding, arguments)
    table = csv.writer(sys.stdout, lineterminator="\n")
    if as_csv:
        table.writerow(["image", "caption", *["confidence"] * confidence])
    failed = 0
    results = model.caption_each(pictures, decoding=decoding, batch_size=batch_size)
    if not sys.stdout.isatty():  # on a terminal, the captions themselves show how far it is
        results = show_progress(results, total=len(pictures))
    for picture, result in results:
        failed += isinstance(result, CaptionerError)
        if as_json:
            print(json.dumps(to_record(str(picture), result)), flush=True)
        elif isinstance(result, CaptionerError):
            if alone:
                raise result
            print_error(result)
        elif as_csv:
            table.writerows(
                [str(picture), best.text, *[f"{best.confidence:.4f}"] * confidence]
                for best in result
            )
        else:
            start = "" if alone else f"{printable(picture)}\t"
            for best in result:
                end = f"\t{best.confidence:.2f}" if confidence else ""
                print(f"{start}{printable(best.text)}{end}", flush=True)
        if write_txt and isinstance(picture, Path) and not isinstance(result, CaptionerError):
            _write_beside(picture, result)
    if failed:
        raise typer.Exit(1)


def _write_beside(picture: Path, captions: "list[Caption]") -> None:
    """Write captions, a line each, to a new text file beside their picture."""
    file = picture.with_suffix(".txt")
    if file.exists():
        print_error(f"{file} is already there; kept as it is")
        return
    text = "".join(f"{caption.text}\n" for caption in captions)
    atomic_write(file, lambda partial: partial.write_text(text, encoding="utf-8"))


def to_record(image: str, result: "list[Caption] | CaptionerError") -> dict[str, object]:
    """What --json prints for one picture."""
    if isinstance(result, CaptionerError):
        return {"image": image, "error": str(result)}
    return {"image": image, "captions": [best.to_dict() for best in result]}
