"""captioner match: how well given captions fit a picture."""

import json
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import OUTPUT, examples
from captioner.cli.printable import print_warning, printable
from captioner.cli.sources import list_pictures, require_file
from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.errors import CaptionerError

EXAMPLES = examples(
    'captioner match photo.jpg "a dog on a beach" "a cat on a sofa"',
    'captioner match photo.jpg --json "a dog on a beach"',
)


def match(
    path: Annotated[str, typer.Argument(metavar="PICTURE", help="A file, a web address or -.")],
    captions: Annotated[list[str], typer.Argument(metavar="CAPTION...", help="In quotes, each.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per caption.", rich_help_panel=OUTPUT)
    ] = False,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
) -> None:
    """Say how well each caption fits the picture, the best first.

    Prints the caption's share among those given, its mean log probability per word, and the
    caption. The share says how much likelier this picture makes the caption than an empty grey one
    does, so that short or usual captions have no advantage.
    """
    named = [caption for caption in captions if caption.lower().endswith(PICTURE_SUFFIXES)]
    if named:
        raise CaptionerError(
            f"{named[0]!r} is a file where a caption should be; give one picture, then its captions"
        )
    pictures = list_pictures([path])
    if len(pictures) > 1:
        raise CaptionerError(f"{path} is {len(pictures)} pictures; match compares with one")
    require_file(pictures[0])

    from captioner.api import Captioner

    found = Captioner.load(checkpoint, device).match(pictures[0], captions)
    for result in sorted(found, key=lambda fit: -fit.share):
        if as_json:
            print(
                json.dumps(
                    {
                        "caption": result.text,
                        "share": result.share,
                        "mean_log_probability": result.mean_log_probability,
                        "unknown_words": list(result.unknown_words),
                    }
                )
            )
        else:
            print(
                f"{result.share:.3f}\t{result.mean_log_probability:.2f}\t{printable(result.text)}"
            )
        if result.unknown_words:
            words = ", ".join(result.unknown_words)
            print_warning(f"unknown to the model in {result.text!r}: {words}")
