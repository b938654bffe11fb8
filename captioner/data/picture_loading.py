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
from captioner.data.augmentation import random_crop
from captioner.data.feature_cache import FeatureCache
from captioner.data.images import open_picture, to_tensor
from captioner.errors import CaptionerError, LostWorker

Batch = TypeVar("Batch")
Rest = TypeVar("Rest")


@dataclass(frozen=True)
class View:
    """A picture by its index in the source, and how it is changed.

    seed: of the random crop and colours, or of the choice among cached crops.
    """

    index: int
    seed: int
    mirrored: bool


@dataclass(frozen=True)
class Views:
    """P pictures: if cached maps of `Encoder.trunk` in float16, else pixels (P, 3, S, S)."""

    pictures: Tensor
    cached: bool


class PictureSource(Dataset[Any]):
    """Pictures by their views; gives those of a batch with what else the batch is made of.

    cache: the frozen stages' maps of these paths, and of crops of them; without one the pictures
    are decoded anew, and with config.augment cropped and coloured. A picture that cannot be read
    gives the error itself: raised in a worker process it would arrive with that process's
    traceback.
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
        self.augment = config.augment

    def __getitems__(
        self, group: tuple[Sequence[View], Any]
    ) -> tuple[list[Tensor | CaptionerError], Any]:
        """The pictures of a group, and its other part unchanged; a loader asks for batches so."""
        views, rest = group
        return [self._picture(view) for view in views], rest

    def _picture(self, view: View) -> Tensor | CaptionerError:
        if self.cache is not None:
            crop = view.seed % (1 + self.cache.crops)
            return self.cache.read(view.index, crop, view.mirrored)
        try:
            picture = open_picture(self.paths[view.index])
        except CaptionerError as error:
            return error
        if self.augment:
            picture = random_crop(picture, self.image_size, view.seed)
        pixels = to_tensor(picture, self.image_size)
        return pixels.flip(2) if view.mirrored else pixels

    def load(
        self, groups: Iterable[tuple[Sequence[View], Rest]], collate: Callable[[Views, Rest], Batch]
    ) -> Iterator[Batch]:
        """A batch for each group, in order, made by `collate` of its pictures and the group's rest.

        Raises CaptionerError for a picture that cannot be read, and LostWorker where a process that
        reads them has ended.
        """
        loader = DataLoader(
            self,
            batch_sampler=groups,  # type: ignore[arg-type]
            collate_fn=_Collate(collate, cached=self.cache is not None),  # type: ignore[arg-type]
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

    def __init__(self, collate: Callable[[Views, Any], Any], *, cached: bool) -> None:
        self.collate = collate
        self.cached = cached

    def __call__(self, loaded: tuple[list[Tensor | CaptionerError], Any]) -> Any:
        found, rest = loaded
        pictures = []
        for picture in found:
            if isinstance(picture, CaptionerError):
                return picture
            pictures.append(picture)
        stacked = torch.stack(pictures) if pictures else torch.empty(0)
        return self.collate(Views(stacked, self.cached), rest)


def _leave_signals(worker: int) -> None:
    """Let workers ignore Ctrl-C and a scheduler's signal: the training process handles these, and
    workers end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
