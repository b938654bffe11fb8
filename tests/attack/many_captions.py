"""Thousands of pictures captioned in one process, and the same ones in batches of other sizes."""

import sys
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

from process_size import MIB, size_of

from captioner.api import Captioner
from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError

BATCH_SIZES = (1, 2, 3, 5, 7, 11, 16, 32, 64, 100)


def photographs(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".png")]
    if not found:
        sys.exit(f"{folder}: no .jpg and no .png in this folder")
    return found


def caption_many(tries: int, pictures: Path) -> list[str]:
    """Caption so many pictures, repeating the folder's; memory and descriptors stay as they are."""
    model = Captioner.load()
    repeated = islice(cycle(photographs(pictures)), tries)
    lost, sizes = [], []
    captioned = model.caption_each(repeated, decoding=model.decoding, batch_size=32)
    for number, (picture, result) in enumerate(captioned):
        if isinstance(result, CaptionerError):
            lost.append(f"{picture}: {result}")
        if number in (tries // 3, tries - 1):
            sizes.append(size_of())
    print(f"captions: {sizes[0]}, then {sizes[-1]}", file=sys.stderr)
    return lost + sizes[0].growth(sizes[-1], memory=32 * MIB, descriptors=0)


def caption_in_batches(tries: int, pictures: Path) -> list[str]:
    """The same captions of 100 pictures in batches of each of so many sizes, searched and drawn."""
    model = Captioner.load()
    chosen = photographs(pictures)[:100]
    lost = []
    for decoding in (model.decoding, replace(model.decoding, sample=True, seed=3)):
        expected = captions(model, chosen, decoding, 32)
        for batch_size in BATCH_SIZES[:tries]:
            found = captions(model, chosen, decoding, batch_size)
            pairs = zip(expected, found, strict=True)
            others = sum(one != other for one, other in pairs)
            if others:
                way = "drawn" if decoding.sample else "searched"
                lost.append(f"{others} captions {way} with --batch-size {batch_size} are others")
    return lost


def captions(
    model: Captioner, pictures: list[Path], decoding: DecodingConfig, batch_size: int
) -> list[str]:
    results = model.caption_each(pictures, decoding=decoding, batch_size=batch_size)
    return [str(result) if isinstance(result, CaptionerError) else result[0].text
            for _, result in results]  # fmt: skip
