"""Caption batches: pictures with some of their captions, in an order that a seed decides."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from captioner.config.settings import TrainingConfig
from captioner.data.caption_files import CaptionedPicture
from captioner.data.padding import pad_captions
from captioner.data.parts import WHOLE, Part, Parts
from captioner.data.picture_loading import PictureSource, View, Views
from captioner.data.vocabulary import END, Vocabulary, split_words
from captioner.errors import CaptionerWarning


@dataclass(frozen=True)
class Batch:
    """P pictures and C of their captions; a part that is left with none has 0 of both.

    tokens (C, 1 + longest): START, words, END, padding; lengths: of the captions without START;
    rows (C,): which picture a caption describes; indices: of the pictures in the dataset.
    """

    views: Views
    tokens: Tensor
    lengths: list[int]
    rows: Tensor
    indices: list[int]
    part: Part


class CaptionBatches:
    """All pictures of a dataset once per epoch, each with at most captions_per_picture captions.

    Which captions, which views and in what order follows from the seed and the epoch alone, so
    that an epoch can be resumed in its middle. parts: of each batch, those that this process has.
    """

    def __init__(
        self,
        pictures: Sequence[CaptionedPicture],
        vocabulary: Vocabulary,
        config: TrainingConfig,
        source: PictureSource,
        parts: Parts = WHOLE,
    ) -> None:
        self.pictures = pictures
        self.config = config
        self.tokens = [
            [vocabulary.encode(caption, max_words=config.max_words) for caption in item.captions]
            for item in pictures
        ]
        cut = sum(tokens[-1] != END for captions in self.tokens for tokens in captions)
        if cut:
            warnings.warn(
                f"{cut} captions have more than {config.max_words} words and are cut, so that "
                "their ends are not learned; raise max_words in [training] to keep them",
                CaptionerWarning,
                stacklevel=2,
            )
        self.may_mirror = [config.mirror and not names_a_side(*item.captions) for item in pictures]
        self.source = source
        self.parts = parts

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.pictures) // self.config.pictures_per_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from batch `first` on; of each, one after the other, its parts.

        Raises CaptionerError for a picture that cannot be read.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
        order = torch.randperm(len(self.pictures), generator=generator).tolist()
        size = self.config.pictures_per_batch
        # One after the other, as the generator draws for each; those before `first` as well.
        wholes = (
            [self._item(index, generator) for index in order[start : start + size]]
            for start in range(0, len(order), size)
        )
        parts = (
            ([item.view for item in items], (items, part))
            for whole in islice(wholes, first, None)
            for items, part in self.parts.divide(
                whole, [[len(caption) for caption in item.captions] for item in whole]
            )
        )
        return self.source.load(parts, _collate)

    def _item(self, index: int, generator: torch.Generator) -> "_Item":
        """A picture's view, and its index with the captions that go with it."""
        captions = self.tokens[index]
        chosen = torch.randperm(len(captions), generator=generator).tolist()
        coin, seed = torch.randint(2**31, (2,), generator=generator).tolist()
        view = View(
            index=self.source.indices[self.pictures[index].path],
            seed=seed,
            mirrored=self.may_mirror[index] and coin % 2 == 1,
        )
        chosen = chosen[: self.config.captions_per_picture or None]
        return _Item(view, index, [captions[i] for i in chosen])


@dataclass(frozen=True)
class _Item:
    """A picture of a batch: its view, its index in the dataset, and its captions as tokens."""

    view: View
    index: int
    captions: list[list[int]]


def _collate(views: Views, rest: tuple[Sequence[_Item], Part]) -> Batch:
    items, part = rest
    tokens, lengths = pad_captions([caption for item in items for caption in item.captions])
    return Batch(
        views=views,
        tokens=tokens,
        lengths=lengths,
        rows=torch.tensor([row for row, item in enumerate(items) for _ in item.captions]),
        indices=[item.index for item in items],
        part=part,
    )


def names_a_side(*texts: str) -> bool:
    """Whether a text says left or right, which is wrong for the mirrored picture."""
    sides = ("left", "right")
    return any(
        word.startswith(sides)
        for text in texts
        if any(side in text.lower() for side in sides)  # most texts need not be split
        for word in split_words(text)
    )
