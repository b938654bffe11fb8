"""Training batches: pictures with some of their captions, in an order that a seed decides."""

import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from captioner.config import TrainingConfig
from captioner.datasets import CaptionedPicture
from captioner.encoder import Encoder
from captioner.errors import CaptionerError
from captioner.features import FeatureCache
from captioner.images import IMAGENET_MEAN, IMAGENET_STD, open_picture, to_tensor
from captioner.vocabulary import PADDING, START, Vocabulary


@dataclass(frozen=True)
class Batch:
    """P pictures and C of their captions.

    pictures: maps (P, rows, columns, channels) if cached, else pixels (P, 3, S, S).
    tokens (C, 1 + longest): START, words, END, padding; lengths: words and END of each caption;
    rows (C,): which picture a caption describes; indices: the pictures' places in the data set.
    """

    pictures: Tensor
    cached: bool
    tokens: Tensor
    lengths: list[int]
    rows: Tensor
    indices: list[int]

    def maps(self, encoder: Encoder) -> Tensor:
        """What the encoder's frozen stages make of the pictures, on the encoder's device."""
        pictures = self.pictures.to(encoder.positions.device)
        return pictures if self.cached else encoder.trunk(pictures)


@dataclass(frozen=True)
class _Item:
    """One picture of a batch, what happens to it, and the captions that go with it."""

    index: int
    seed: int
    mirrored: bool
    captions: list[list[int]]


class CaptionBatches:
    """All pictures of a data set once an epoch, each with at most captions_per_picture captions.

    Which captions, which views and in what order follows from the seed and the epoch alone, so
    that an epoch can be resumed in its middle. cache: the frozen stages' maps; without one the
    pictures are decoded anew, and with config.augment cropped and coloured.
    """

    def __init__(
        self,
        pictures: Sequence[CaptionedPicture],
        vocabulary: Vocabulary,
        config: TrainingConfig,
        *,
        image_size: int,
        cache: FeatureCache | None,
    ) -> None:
        self.pictures = pictures
        self.config = config
        self.tokens = [
            [vocabulary.encode(caption, max_words=config.max_words) for caption in item.captions]
            for item in pictures
        ]
        # The mirror image of a picture whose captions say left or right would belie them.
        self.may_mirror = [
            config.mirror and not re.search(r"\b(left|right)", " ".join(item.captions).lower())
            for item in pictures
        ]
        self.source = _Pictures(pictures, config, image_size, cache)
        self.workers = 0 if cache else config.workers

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.pictures) // self.config.pictures_per_batch)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch `first` on.

        Raises CaptionerError for a picture that cannot be read.
        """
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + number)
        order = torch.randperm(len(self.pictures), generator=generator).tolist()
        items = [self._item(index, generator) for index in order]
        size = self.config.pictures_per_batch
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        loader = DataLoader(
            self.source,
            batch_sampler=groups[first:],
            collate_fn=_collate,
            num_workers=self.workers,
            worker_init_fn=_leave_interrupts,
            # Its own: otherwise it draws from the global state, which a resumed run restores.
            generator=torch.Generator(),
        )
        for batch in loader:
            if isinstance(batch, CaptionerError):
                raise batch
            yield batch

    def _item(self, index: int, generator: torch.Generator) -> _Item:
        captions = self.tokens[index]
        chosen = torch.randperm(len(captions), generator=generator).tolist()
        coin, seed = torch.randint(2**31, (2,), generator=generator).tolist()
        return _Item(
            index=index,
            seed=seed,
            mirrored=self.may_mirror[index] and coin % 2 == 1,
            captions=[captions[i] for i in chosen[: self.config.captions_per_picture]],
        )


class _Pictures(Dataset[tuple[Tensor | CaptionerError, _Item]]):
    """An item to its picture: from the cache, or from the file, augmented or plain.

    A picture that cannot be read gives the error itself: raised in a worker process it would
    arrive with that process's traceback.
    """

    def __init__(
        self,
        pictures: Sequence[CaptionedPicture],
        config: TrainingConfig,
        image_size: int,
        cache: FeatureCache | None,
    ) -> None:
        self.paths = [item.path for item in pictures]
        self.cache = cache
        self.image_size = image_size
        self.augmentation = _augmentation(image_size) if config.augment else None

    def __getitem__(self, item: _Item) -> tuple[Tensor | CaptionerError, _Item]:
        if self.cache is not None:
            return self.cache.read(item.index, item.mirrored), item
        try:
            picture = open_picture(self.paths[item.index])
        except CaptionerError as error:
            return error, item
        if self.augmentation is None:
            pixels = to_tensor(picture, self.image_size)
        else:
            # The transforms draw from torch's global state; the training's own stays as it was.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(item.seed)
                pixels = self.augmentation(picture)
        return pixels.flip(2) if item.mirrored else pixels, item


def _augmentation(image_size: int) -> v2.Transform:
    return v2.Compose(
        [
            v2.RandomResizedCrop(image_size, scale=(0.7, 1.0), ratio=(0.85, 1.18), antialias=True),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        ]
    )


def _leave_interrupts(worker: int) -> None:
    """Ctrl-C reaches the workers as well; what to do about it is the training's affair alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collate(items: list[tuple[Tensor | CaptionerError, _Item]]) -> Batch | CaptionerError:
    pictures = []
    for picture, _ in items:
        if isinstance(picture, CaptionerError):
            return picture
        pictures.append(picture)
    captions = [caption for _, item in items for caption in item.captions]
    rows = [row for row, (_, item) in enumerate(items) for _ in item.captions]
    tokens, lengths = pad(captions)
    return Batch(
        pictures=torch.stack(pictures).float(),
        cached=pictures[0].dtype == torch.float16,
        tokens=tokens,
        lengths=lengths,
        rows=torch.tensor(rows),
        indices=[item.index for _, item in items],
    )


def pad(captions: Sequence[Sequence[int]]) -> tuple[Tensor, list[int]]:
    """Token lists, each ending with END, to tokens (C, 1 + longest) after START, and lengths."""
    lengths = [len(caption) for caption in captions]
    tokens = torch.full((len(captions), 1 + max(lengths)), PADDING)
    tokens[:, 0] = START
    for row, caption in enumerate(captions):
        tokens[row, 1 : 1 + len(caption)] = torch.tensor(caption)
    return tokens, lengths
