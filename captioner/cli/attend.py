"""captioner attend: where the model looked for each word."""

from pathlib import Path
from typing import Annotated

import typer

from captioner.cli import options
from captioner.cli.sources import find_pictures, is_one_picture, require_file
from captioner.errors import CaptionerError

SUFFIXES = (".png", ".npz")


def attend(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file, a web address or -.")],
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="maps.png: a panel a word; maps.npz: arrays.")
    ],
    beam_size: options.BeamSize = None,
    max_words: options.MaxWords = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
) -> None:
    """Caption a picture and save where each word looked.

    Prints the caption. A .png shows the picture once a word, bright where the model looked; an
    .npz holds the arrays `weights` (T, rows, columns) and `words`.
    """
    suffix = output.suffix.lower()
    if suffix not in SUFFIXES:
        raise CaptionerError(f"{output}: unknown kind of output; expected {' or '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise CaptionerError(f"{output}: there is no folder {output.parent}; make it first")
    if not is_one_picture([path]):
        raise CaptionerError(f"{path}: expected a single picture")
    [source] = find_pictures([path])
    require_file(source)

    from captioner.api import Captioner
    from captioner.attention_maps import save_arrays, save_panel
    from captioner.images import open_picture

    picture = open_picture(source)
    model = Captioner.load(checkpoint, device)
    best = model.caption(picture, beam_size=beam_size, num_captions=1, max_words=max_words)
    words = [word.word for word in best.words]
    if suffix == ".png":
        save_panel(picture, words, best.attention, output)
    else:
        save_arrays(words, best.attention, output)
    print(best.text)
