"""The feature cache: the output of the encoder's frozen stages, computed once and kept on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.data.images import open_picture, to_tensor
from captioner.errors import CaptionerError
from captioner.runtime import read_ahead, side_by_side

BATCH = 32
SAVE_BATCHES = 20
GIB = 2**30


class FeatureCache:
    """The maps of each picture and of its mirror image, float16, on disk.

    The file is memory-mapped, so reading costs no more memory than a batch. Its name holds a
    fingerprint of the frozen weights and of the pictures' names, sizes and times, so that a
    cache never serves another encoder or other pictures. Building it can be interrupted: how many
    pictures are done stands beside it and building goes on from there.
    """

    def __init__(self, file: Path, *, pictures: int, views: int, shape: tuple[int, ...]) -> None:
        self.maps = np.memmap(file, dtype=np.float16, mode="r", shape=(pictures, views, *shape))

    def read(self, picture: int, mirrored: bool) -> Tensor:
        """One picture's maps, float16."""
        return torch.from_numpy(self.maps[picture, int(mirrored)].copy())


@dataclass(frozen=True)
class FrozenLayers:
    """What computes the maps that a cache holds.

    encode: pixels (B, 3, S, S) on `device` to maps (B, *map_shape); S = image_size. fingerprint:
    of the weights and settings that decide the maps.
    """

    encode: Callable[[Tensor], Tensor]
    fingerprint: str
    image_size: int
    map_shape: tuple[int, ...]
    device: torch.device

    def cache_size(self, pictures: int, *, mirrored: bool) -> int:
        """Bytes that a cache of so many pictures takes on disk."""
        return int(np.prod(self.map_shape)) * 2 * pictures * (2 if mirrored else 1)


def build_cache(
    layers: FrozenLayers,
    pictures: Sequence[Path],
    folder: Path,
    *,
    mirrored: bool,
    max_gib: float,
    progress: Callable[[int], None],
) -> FeatureCache:
    """Compute or complete the cache of these pictures; progress is called with how many are done.

    mirrored: keep each picture's mirror image too. Raises CaptionerError before any work where
    the cache would be larger than max_gib or than the free space, and for a picture that cannot
    be read.
    """
    shape, views = layers.map_shape, 2 if mirrored else 1
    size = layers.cache_size(len(pictures), mirrored=mirrored)
    file = folder / f"features-{_fingerprint(layers, pictures, mirrored)}.f16"
    counter = file.with_suffix(".json")
    done = _done(file, counter, size)
    if not done:
        file.unlink(missing_ok=True)  # what was begun would count as space that is taken
        _check_space(folder, size, max_gib)
        _reserve(file, size)
    if done < len(pictures):
        maps = np.memmap(file, np.float16, "r+", shape=(len(pictures), views, *shape))
        end = done

        def read(picture: Path) -> Tensor:
            return to_tensor(open_picture(picture), layers.image_size)

        def encode(batch: list[tuple[Path, Tensor]]) -> np.ndarray:
            """Maps (B, views, *map_shape) of a batch, float16."""
            pixels = torch.stack([pixels for _, pixels in batch]).to(layers.device)
            both = [pixels, pixels.flip(3)] if mirrored else [pixels]
            encoded = torch.stack([layers.encode(view) for view in both], dim=1)
            return encoded.to(torch.float16).cpu().numpy()

        batches = read_ahead(pictures[done:], read, BATCH)
        for number, encoded in enumerate(side_by_side(batches, encode, layers.device), start=1):
            start, end = end, end + len(encoded)
            maps[start:end] = encoded
            if number % SAVE_BATCHES == 0 or end == len(pictures):
                maps.flush()
                partial = counter.with_suffix(".partial")
                partial.write_text(json.dumps({"done": end}))
                os.replace(partial, counter)
            progress(end)
    return FeatureCache(file, pictures=len(pictures), views=views, shape=shape)


def _done(file: Path, counter: Path, size: int) -> int:
    """How many pictures a cache holds; of one that is damaged, as by a power cut, none."""
    try:
        done = json.loads(counter.read_text())["done"]
        return int(done) if file.stat().st_size == size else 0
    except (OSError, ValueError, TypeError, KeyError):
        return 0


def _check_space(folder: Path, size: int, max_gib: float) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > max_gib * GIB:
        raise CaptionerError(
            f"the feature cache would take {size / GIB:.1f} GiB, more than max_cache_gib "
            f"{max_gib:g}; raise that, use fewer pictures or a smaller image_size, or set augment, "
            "which keeps no cache"
        )
    if size > free:
        raise CaptionerError(
            f"the feature cache needs {size / GIB:.1f} GiB but {folder} has {free / GIB:.1f} GiB "
            "free; free some space or choose another output folder"
        )


def _reserve(file: Path, size: int) -> None:
    """Take the whole space now: a disk that fills later would end the process without a word."""
    with file.open("wb") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)


def _fingerprint(layers: FrozenLayers, pictures: Sequence[Path], mirrored: bool) -> str:
    digest = hashlib.sha256(f"{layers.fingerprint} {layers.image_size} {mirrored}\n".encode())
    for path in pictures:
        stat = path.stat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
