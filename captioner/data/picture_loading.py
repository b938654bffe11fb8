"""Pictures of training batches: from the feature cache, or from their files, augmented or plain."""

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from captioner.config.settings import TrainingConfig
from captioner.data.feature_cache import FeatureCache
from captioner.data.images import IMAGENET_MEAN, IMAGENET_STD, open_picture, to_tensor
from captioner.errors import CaptionerError, LostWorker

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class View:
    """A picture by its index in the source, and how it is changed.

    seed: of the random crop and colours, where the source augments.
    """

    index: int
    seed: int
    mirrored: bool


@dataclass(frozen=True)
class Views:
    """P pictures: maps as `Encoder.trunk` gives them if cached, else pixels (P, 3, S, S)."""

    pictures: Tensor
    cached: bool


class PictureSource(Dataset[tuple[Tensor | CaptionerError, Any]]):
    """Pictures by their views; gives each with the item that asked for it, a view and any object.

    cache: the frozen stages' maps of these paths; without one the pictures are decoded anew, and
    with config.augment cropped and coloured. A picture that cannot be read gives the error itself:
    raised in a worker process it would arrive with that process's traceback.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        config: TrainingConfig,
        *,
        image_size: int,
        cache: FeatureCache | None,
    ) -> None:
        self.paths = paths
        self.indices = {path: index for index, path in enumerate(paths)}
        self.cache = cache
        self.workers = 0 if cache else config.workers
        self.image_size = image_size
        self.augmentation = _augmentation(image_size) if config.augment else None

    def __getitem__(self, item: tuple[View, Any]) -> tuple[Tensor | CaptionerError, Any]:
        view, _ = item
        if self.cache is not None:
            return self.cache.read(view.index, view.mirrored), item
        try:
            picture = open_picture(self.paths[view.index])
        except CaptionerError as error:
            return error, item
        if self.augmentation is None:
            pixels = to_tensor(picture, self.image_size)
        else:
            # The transforms draw from torch's global state; the training's own stays as it was.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(view.seed)
                pixels = self.augmentation(picture)
        return pixels.flip(2) if view.mirrored else pixels, item

    def load(
        self,
        groups: Iterable[Sequence[tuple[View, Any]]],
        collate: Callable[[Views, list[tuple[View, Any]]], Batch],
    ) -> Iterator[Batch]:
        """A batch for each group of items, put together by `collate`, in order.

        Raises CaptionerError for a picture that cannot be read, and LostWorker where a process that
        reads them has ended.
        """
        loader = DataLoader(
            self,
            batch_sampler=groups,  # type: ignore[arg-type]
            collate_fn=_Collate(collate, cached=self.cache is not None),
            num_workers=self.workers,
            worker_init_fn=_leave_signals,
            # Its own: otherwise it draws from the global state, which a resumed run restores.
            generator=torch.Generator(),
        )
        batches = _start(loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            # Of a connection that has no other end; what a worker itself raises begins with Caught.
            except (RuntimeError, OSError, EOFError) as error:
                if not self.workers or str(error).startswith("Caught "):
                    raise
                raise LostWorker(
                    f"a process that reads pictures has ended ({error}), perhaps since memory ran "
                    "out; set workers lower, or free some memory"
                ) from error
            if isinstance(batch, CaptionerError):
                raise batch
            yield batch


def _start(loader: DataLoader[Any]) -> Iterator[Any]:
    """Start the loader's workers, without torch's handler for the signal that one has ended.

    The handler would raise in the middle of a training step. The loader notices by itself, within
    seconds, when it is asked for a batch.
    """
    own = loader.num_workers > 0 and threading.current_thread() is threading.main_thread()
    if not own or not hasattr(signal, "SIGCHLD"):
        return iter(loader)
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    return batches


class _Collate:
    """Stack the pictures and let another function do the rest; an object, for worker processes."""

    def __init__(
        self, collate: Callable[[Views, list[tuple[View, Any]]], Any], *, cached: bool
    ) -> None:
        self.collate = collate
        self.cached = cached

    def __call__(self, loaded: list[tuple[Tensor | CaptionerError, Any]]) -> Any:
        pictures = []
        for picture, _ in loaded:
            if isinstance(picture, CaptionerError):
                return picture
            pictures.append(picture)
        views = Views(torch.stack(pictures).float(), self.cached)
        return self.collate(views, [item for _, item in loaded])


def _augmentation(image_size: int) -> Any:
    from torchvision.transforms import v2  # all of torchvision: only when needed

    return v2.Compose(
        [
            v2.RandomResizedCrop(image_size, scale=(0.7, 1.0), ratio=(0.85, 1.18), antialias=True),
            v2.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(IMAGENET_MEAN), list(IMAGENET_STD)),
        ]
    )


def _leave_signals(worker: int) -> None:
    """Let workers ignore Ctrl-C and a scheduler's signal: the training process handles these, and
    workers end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
