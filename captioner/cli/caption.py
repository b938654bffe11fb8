"""captioner caption: pictures in, sentences out."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from captioner.cli import options
from captioner.cli.progress import show_progress
from captioner.cli.sources import find_pictures, is_one_picture
from captioner.config import DecodingConfig
from captioner.errors import CaptionerError

if TYPE_CHECKING:
    from captioner.api import Caption


def caption(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH", help="Files, folders, globs, web addresses or -."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="A JSON line a picture.")] = False,
    beam_size: options.BeamSize = DecodingConfig.beam_size,
    num_captions: options.NumCaptions = DecodingConfig.num_captions,
    max_words: options.MaxWords = DecodingConfig.max_words,
    length_penalty: options.LengthPenalty = DecodingConfig.length_penalty,
    block_ngrams: options.BlockNgrams = DecodingConfig.block_ngrams,
    sample: options.Sample = False,
    temperature: options.Temperature = DecodingConfig.temperature,
    top_k: options.TopK = DecodingConfig.top_k,
    top_p: options.TopP = DecodingConfig.top_p,
    seed: options.Seed = DecodingConfig.seed,
    batch_size: options.BatchSize = 16,
    checkpoint: options.Checkpoint = None,
    device: options.Device = None,
) -> None:
    """Say what is in each picture.

    One picture gives its caption alone; several, a folder or a pattern give lines of the path, a
    tab and the caption. A picture that cannot be read is reported, the rest go on, and the exit
    status is 1.
    """
    decoding = DecodingConfig(
        beam_size=beam_size,
        num_captions=num_captions,
        max_words=max_words,
        length_penalty=length_penalty,
        block_ngrams=block_ngrams,
        sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    pictures = find_pictures(paths)
    alone = is_one_picture(paths)

    from captioner.api import Captioner

    model = Captioner.load(checkpoint, device)
    failed = 0
    results = model.caption_each(pictures, decoding=decoding, batch_size=batch_size)
    for picture, result in show_progress(results, total=len(pictures)):
        failed += isinstance(result, CaptionerError)
        if as_json:
            print(json.dumps(to_record(str(picture), result)), flush=True)
        elif isinstance(result, CaptionerError):
            if alone:
                raise result
            print(f"captioner: error: {result}", file=sys.stderr, flush=True)
        else:
            start = "" if alone else f"{picture}\t"
            print(*(start + best.text for best in result), sep="\n", flush=True)
    if failed:
        raise typer.Exit(1)


def to_record(image: str, result: "list[Caption] | CaptionerError") -> dict[str, object]:
    """What --json prints for one picture."""
    if isinstance(result, CaptionerError):
        return {"image": image, "error": str(result)}
    captions = [
        {
            "text": best.text,
            "log_probability": best.log_probability,
            "words": [{"word": w.word, "probability": w.probability} for w in best.words],
        }
        for best in result
    ]
    return {"image": image, "captions": captions}
