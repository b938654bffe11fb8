"""Several checkpoints that write captions together, and what each of them looks at."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from captioner import checkpoint
from captioner.checkpoint import Checkpoint
from captioner.errors import CaptionerError
from captioner.images import to_tensor
from captioner.model import CaptioningModel
from captioner.writing import Member

Pixels = dict[int, Tensor]  # a picture, (3, S, S) for every side S that a model asks for


def load_together(files: Sequence[Path]) -> list[Checkpoint]:
    """Load checkpoints that can write together: the next word is a mean over them all.

    Their encoders, grids and decoders may differ. Raises CaptionerError for no file, for one that
    cannot be loaded, and for one of several that writes no captions or knows other words.
    """
    if not files:
        raise CaptionerError("no checkpoint is given; expected one or more files")
    loaded = [checkpoint.load(file) for file in files]
    first = loaded[0].model.vocabulary
    for file, one in zip(files, loaded, strict=True):
        words = one.model.vocabulary
        if len(files) > 1 and (words is None or first is None):
            raise CaptionerError(
                f"{file if words is None else files[0]}: writes no captions, so it cannot be one "
                "of several checkpoints that write together; leave it out"
            )
        if words and first and (type(words), words.words) != (type(first), first.words):
            raise CaptionerError(
                f"{file}: its vocabulary ({len(words)} entries) is not that of {files[0]} "
                f"({len(first)}); checkpoints can write together only in the same words: give "
                "ones trained on the same captions"
            )
    return loaded


def prepare(picture: Image.Image, models: Sequence[CaptioningModel]) -> Pixels:
    """A picture as each of the models wants it."""
    return {size: to_tensor(picture, size) for size in {m.config.image_size for m in models}}


@torch.no_grad()
def encode(model: CaptioningModel, pictures: Sequence[Pixels], *, mirror: bool = False) -> Tensor:
    """Features (B, N, D) of pictures; mirror: of their mirror images, put back in their places."""
    encoder = model.encoder
    pixels = torch.stack([picture[encoder.image_size] for picture in pictures])
    pixels = pixels.to(encoder.positions.device)
    return encoder.unmirror(encoder(pixels.flip(3))) if mirror else encoder(pixels)


def members_of(
    models: Sequence[CaptioningModel], pictures: Sequence[Pixels], *, mirror: bool
) -> list[Member]:
    """Each model's decoder with features of the pictures, and with mirror once more."""
    return [
        Member(model.writer()[0], encode(model, pictures, mirror=turned))
        for model in models
        for turned in (False, True)[: 1 + mirror]
    ]
