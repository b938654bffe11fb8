"""captioner attend: where the model looked for each word."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.help_pages import DECODING, OUTPUT, examples
from captioner.cli.printable import print_error, print_summary, printable
from captioner.cli.progress import show_progress
from captioner.cli.sources import Source, is_one_picture, list_pictures, require_file
from captioner.errors import CaptionerError
from captioner.files import check_output

if TYPE_CHECKING:
    from captioner.api import Captioner
    from captioner.config.settings import DecodingConfig
    from captioner.decoding.outputs import Answer, Caption
    from captioner.visualization.explorer import Record

SUFFIXES = (".html", ".png", ".gif", ".npz")


EXAMPLES = examples(
    "captioner attend photo.jpg --output maps.png",
    "captioner attend photos --num-captions 3 --output explorer.html",
    'captioner attend photo.jpg --question "what color is the dog?" --output maps.gif',
)


def attend(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Files, folders, globs, web addresses or -; several for .html."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="explorer.html: to explore; maps.png: a panel a word; maps.gif: played; "
            "maps.npz: arrays.",
            rich_help_panel=OUTPUT,
        ),
    ],
    question: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Where it looks to answer this instead.",
            rich_help_panel=DECODING,
            show_default="each word of a caption",
        ),
    ] = None,
    beam_size: options.BeamSize = None,
    num_captions: options.NumCaptions = None,
    max_words: options.MaxWords = None,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
    runtime: options.Runtime = None,
) -> None:
    """Caption pictures and save where each word looked.

    Prints the captions. An .html file shows pictures, each with one or more captions, and for a
    word under the mouse where the model looked, how sure it was and what else it could have
    written; with --question the answer as well. A .png shows one picture once a word, bright where
    the model looked; a .gif plays through the words; an .npz holds the arrays `weights` (T, rows,
    columns) and `words` (T). With --question those three hold a map per look instead of per word.
    """
    suffix = output.suffix.lower()
    check_kind(output, suffix)
    if suffix != ".html" and num_captions is not None and num_captions != 1:
        raise CaptionerError(f"--num-captions {num_captions}: {output} holds one; use .html")
    if suffix != ".html" and not is_one_picture(paths):
        raise CaptionerError(
            f"{' '.join(paths)}: expected a single picture for {suffix}; .html takes several"
        )
    sources = list_pictures(paths)
    if is_one_picture(paths):
        require_file(sources[0])

    from captioner.api import Captioner

    model = Captioner.load(checkpoint, device, runtime=runtime)
    changes = {
        "beam_size": beam_size,
        "num_captions": num_captions or 1,
        "max_words": max_words,
    }
    decoding = options.choose_decoding(model.decoding, changes)
    if suffix == ".html":
        explore(model, sources, output, question, decoding, alone=is_one_picture(paths))
    else:
        text, summary = save_maps(model, sources[0], output, question, decoding)
        print(printable(text))
        print_summary(
            f"wrote {output}: {summary}; next: the same --output explorer.html to explore"
        )


def check_kind(output: Path, suffix: str) -> None:
    """Find out before any work whether the file has a known kind and a folder to be in."""
    if suffix not in SUFFIXES:
        *others, last = SUFFIXES
        expected = f"{', '.join(others)} or {last}"
        raise CaptionerError(f"{output}: unknown kind of output; expected {expected}")
    check_output(output)


def save_maps(
    model: "Captioner",
    source: Source,
    output: Path,
    question: str | None,
    decoding: "DecodingConfig",
) -> tuple[str, str]:
    """Write the maps of one picture's caption or answer; gives its text and a summary."""
    from captioner.data.images import open_picture
    from captioner.visualization.results import save_result

    picture = open_picture(source)
    result: Caption | Answer
    if question is None:
        [[best, *_]] = model.caption_features(model.encode([picture]), decoding)
        result = best
        summary = (
            f"{len(best.attention)} maps, one per word; mean probability {best.confidence:.2f}"
        )
    else:
        result = answer = model.answer(picture, question)
        maps = len(answer.attention)
        summary = f"{maps} maps, one per look; probability {answer.probability:.2f}"
    save_result(result, lambda: picture, output)
    return result.text, summary


def explore(
    model: "Captioner",
    sources: list[Source],
    output: Path,
    question: str | None,
    decoding: "DecodingConfig",
    *,
    alone: bool,
) -> None:
    """Write the explorer of these pictures; one that cannot be read is reported and left out."""
    from captioner.data.images import open_picture
    from captioner.visualization.explorer import answer_record, caption_records, picture_record
    from captioner.visualization.explorer import save_explorer as save

    records: list[Record] = []
    failed = 0
    for source in show_progress(sources, total=len(sources)):
        try:
            picture = open_picture(source)
        except CaptionerError as error:
            if alone:
                raise
            failed += 1
            print_error(error)
            continue
        # A checkpoint that only answers is asked only for its answer.
        features = model.encode([picture])
        wanted = model.can_caption or question is None
        captions = caption_records(model, features, decoding)[0] if wanted else []
        answers = []
        if question is not None:
            [[answer]] = model.answer_features(features, [[question]], top=5)
            if isinstance(answer, CaptionerError):
                raise answer
            answers.append(answer_record(question, answer))
        records.append(picture_record(str(source), picture, captions, answers))
        start = "" if alone else f"{printable(source)}\t"
        said = [answer["text"] for answer in answers] or [one["text"] for one in captions]
        print(*(start + printable(text) for text in said), sep="\n", flush=True)
    if records:
        save(records, output)
        pictures = f"{len(records)} picture{'s' * (len(records) > 1)}"
        left_out = f", {failed} left out" if failed else ""
        print_summary(f"wrote {output}: {pictures}{left_out}; next: open it in a browser")
    if failed:
        raise typer.Exit(1)
