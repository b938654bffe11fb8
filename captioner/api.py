"""The Python interface: Captioner.load().caption("photo.jpg")."""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from captioner import checkpoint as checkpoints
from captioner.config import DecodingConfig, ModelConfig
from captioner.errors import CaptionerError
from captioner.images import open_picture, to_tensor
from captioner.model import CaptioningModel
from captioner.search import Hypothesis, find_captions

Picture = str | Path | bytes | BinaryIO | Image.Image
Source = TypeVar("Source", bound=Picture)


@dataclass(frozen=True)
class Word:
    """A word and its probability given the picture and what was written before it.

    Of a model that writes characters: the product of its letters' probabilities.
    """

    word: str
    probability: float


@dataclass(frozen=True)
class Caption:
    """A caption; attention (T, rows, columns) says where each of its T words looked.

    Each map sums to 1 and covers the whole picture; where characters are written, a word's is the
    mean of its letters'. log_probability: natural logarithm of the whole sentence's probability,
    its end included.
    """

    text: str
    words: tuple[Word, ...]
    log_probability: float
    attention: np.ndarray


class Captioner:
    """A trained model ready to describe pictures; get one with `Captioner.load()`.

    decoding: the settings that the checkpoint was tuned for; scores: what it scored, and on what.
    """

    def __init__(self, loaded: checkpoints.Checkpoint, device: torch.device) -> None:
        self.model: CaptioningModel = loaded.model.to(device)
        self.config: ModelConfig = loaded.model.config
        self.decoding: DecodingConfig = loaded.decoding
        self.scores: list[dict[str, Any]] = loaded.scores
        self.device = device

    @classmethod
    def load(cls, checkpoint: str | Path | None = None, device: str | None = None) -> "Captioner":
        """Load a checkpoint, by default the one that ships, onto a device ("cpu", "cuda", ...).

        Raises CaptionerError for a file or a device that is not there or cannot be used.
        """
        chosen = choose_device(device)
        file = Path(checkpoint or checkpoints.default_checkpoint())
        return cls(checkpoints.load(file), chosen)

    def caption(
        self,
        pictures: Picture | Sequence[Picture],
        *,
        beam_size: int | None = None,
        num_captions: int | None = None,
        max_words: int | None = None,
        decoding: DecodingConfig | None = None,
        batch_size: int = 16,
    ) -> Any:
        """Describe one picture (a Caption) or several (a list of them, in the same order).

        A picture is a path, bytes, an open binary file or a PIL image. With num_captions above 1
        each picture gives a list, best first. decoding replaces the checkpoint's own settings;
        beam_size, num_captions and max_words change one of them. Raises CaptionerError for a
        picture that is none of these or cannot be read, and for settings that make no sense.
        """
        changes = {"beam_size": beam_size, "num_captions": num_captions, "max_words": max_words}
        asked = {name: value for name, value in changes.items() if value is not None}
        chosen = replace(decoding or self.decoding, **cast(dict[str, Any], asked))
        several = isinstance(pictures, Sequence) and not isinstance(pictures, (str, bytes))
        sources = cast(Sequence[Picture], pictures if several else [pictures])
        found = []
        for _, result in self.caption_each(sources, decoding=chosen, batch_size=batch_size):
            if isinstance(result, CaptionerError):
                raise result
            found.append(result if chosen.num_captions > 1 else result[0])
        return found if several else found[0]

    def caption_each(
        self, pictures: Iterable[Source], *, decoding: DecodingConfig, batch_size: int
    ) -> Iterator[tuple[Source, list[Caption] | CaptionerError]]:
        """Describe pictures one after the other, in order, in memory bounded by batch_size.

        A picture that cannot be read comes with the error in place of its captions. While one
        batch is described the next one is being read. Raises CaptionerError for a batch_size
        below 1.
        """
        if batch_size < 1:
            raise CaptionerError(f"batch_size is {batch_size}; expected 1 or more")
        waiting = iter(pictures)
        with ThreadPoolExecutor(2) as pool:

            def read_ahead() -> list[tuple[Source, Future[Tensor | CaptionerError]]]:
                return [(p, pool.submit(self._read, p)) for p in islice(waiting, batch_size)]

            ahead = read_ahead()
            while ahead:
                batch = [(picture, reading.result()) for picture, reading in ahead]
                ahead = read_ahead()
                yield from self._describe(batch, decoding)

    @torch.no_grad()
    def encode(self, pictures: Sequence[Picture]) -> Tensor:
        """Grid features (B, N, D) of pictures; CaptionerError for one that cannot be read."""
        size = self.config.image_size
        pixels = torch.stack([to_tensor(open_picture(picture), size) for picture in pictures])
        return self.model.encoder(pixels.to(self.device))

    def _read(self, picture: Picture) -> Tensor | CaptionerError:
        try:
            return to_tensor(open_picture(picture), self.config.image_size)
        except CaptionerError as error:
            return error

    def _describe(
        self, batch: list[tuple[Source, Tensor | CaptionerError]], decoding: DecodingConfig
    ) -> Iterator[tuple[Source, list[Caption] | CaptionerError]]:
        readable = [pixels for _, pixels in batch if isinstance(pixels, Tensor)]
        found: list[list[Hypothesis]] = []
        if readable:
            with torch.no_grad():
                features = self.model.encoder(torch.stack(readable).to(self.device))
            limits = self.model.vocabulary.search_limits(decoding)
            found = find_captions(self.model.decoder, features, limits)
        described = iter(found)
        for picture, pixels in batch:
            if isinstance(pixels, CaptionerError):
                yield picture, pixels
            else:
                yield picture, [self._caption(hypothesis) for hypothesis in next(described)]

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        tokens = [self.model.vocabulary.words[token] for token in hypothesis.tokens]
        groups = self.model.vocabulary.group(tokens)
        words = tuple(
            Word(
                "".join(tokens[place] for place in places),
                math.prod(hypothesis.probabilities[place] for place in places),
            )
            for places in groups
        )
        maps = [hypothesis.weights[places].mean(0) for places in groups]
        looked = torch.stack(maps) if maps else hypothesis.weights[:0]
        return Caption(
            text=" ".join(word.word for word in words),
            words=words,
            log_probability=hypothesis.log_probability,
            attention=looked.view(-1, *self.model.encoder.grid).numpy(),
        )


def choose_device(name: str | None) -> torch.device:
    """The device of this name, or without one the GPU if there is one; CaptionerError if not."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" makes tensors, but none that can be read
    except (RuntimeError, AssertionError, ImportError) as error:
        there = ["cpu"] + [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        there += ["mps"] if torch.backends.mps.is_available() else []
        raise CaptionerError(
            f"device {name!r} is not there; this machine has {', '.join(there)}"
        ) from error
    return device
