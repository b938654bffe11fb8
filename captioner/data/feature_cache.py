"""The feature cache: the output of the encoder's frozen stages, computed once and kept on disk."""

import hashlib
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.data.images import open_picture, to_tensor
from captioner.errors import CaptionerError
from captioner.files import atomic_write, exclusive_lock
from captioner.runtime import read_ahead, side_by_side

BATCH = 32
SAVE_BATCHES = 20
GIB = 2**30


class FeatureCache:
    """The maps of each picture and of its mirror image, float16, on disk.

    The file is memory-mapped, so reading costs no more memory than a batch. Its name holds a
    fingerprint of the frozen weights and of the pictures' names, sizes and times, so that a
    cache never serves another encoder or other pictures. Beside it stand the checksums of the maps
    that are done, from which an interrupted build goes on.
    """

    def __init__(self, file: Path, checksums: np.ndarray, shape: tuple[int, ...]) -> None:
        self.file = file
        self.maps = np.memmap(file, dtype=np.float16, mode="r", shape=(*checksums.shape, *shape))
        self.checksums = checksums  # (pictures, views)
        self.verified = np.zeros(checksums.shape, dtype=bool)

    def read(self, picture: int, mirrored: bool) -> Tensor:
        """One picture's maps, float16; CaptionerError where they are not those that were written.

        They are verified when they are first read.
        """
        key = (picture, int(mirrored))
        maps = self.maps[key].copy()
        if not self.verified[key]:
            if zlib.crc32(maps) != self.checksums[key]:
                raise CaptionerError(
                    f"{self.file}: the feature cache is damaged (the maps of picture {picture} are "
                    "not those that were written); delete it and go on with --resume, which builds "
                    "it again"
                )
            self.verified[key] = True
        return torch.from_numpy(maps)


@dataclass(frozen=True)
class MapSource:
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
    layers: MapSource,
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
    views = 2 if mirrored else 1
    size = layers.cache_size(len(pictures), mirrored=mirrored)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"features-{_fingerprint(layers, pictures, mirrored)}.f16"
    with exclusive_lock(file.with_suffix(".lock"), wait=True):
        checksums = _read_checksums(file, size, len(pictures), views)
        if not len(checksums):
            # First of all, or what is begun would count as done; and then as space that is taken.
            _checksum_file(file).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            _check_space(folder, size, max_gib)
            _reserve(file, size)
        if len(checksums) < len(pictures):
            shape = (len(pictures), views, *layers.map_shape)
            maps = np.memmap(file, np.float16, "r+", shape=shape)
            checksums = _complete(maps, checksums, layers, pictures, file, progress)
    return FeatureCache(file, checksums, layers.map_shape)


def _complete(
    maps: np.memmap,
    checksums: np.ndarray,
    layers: MapSource,
    pictures: Sequence[Path],
    file: Path,
    progress: Callable[[int], None],
) -> np.ndarray:
    """Compute the maps that have no checksum yet; returns the checksums of all."""
    batches = _encode(layers, pictures[len(checksums) :], mirrored=maps.shape[1] == 2)
    for number, encoded in enumerate(batches, start=1):
        start, end = len(checksums), len(checksums) + len(encoded)
        maps[start:end] = encoded
        new = [[zlib.crc32(view) for view in picture] for picture in encoded]
        checksums = np.concatenate([checksums, np.array(new, np.uint32)])
        if number % SAVE_BATCHES == 0 or end == len(pictures):
            maps.flush()
            atomic_write(_checksum_file(file), checksums.tofile)
        progress(end)
    return checksums


def _encode(layers: MapSource, pictures: Sequence[Path], *, mirrored: bool) -> Iterator[np.ndarray]:
    """The maps (B, views, *map_shape) of the pictures, batch by batch, float16."""

    def read(picture: Path) -> Tensor:
        return to_tensor(open_picture(picture), layers.image_size)

    def encode(batch: list[tuple[Path, Tensor]]) -> np.ndarray:
        pixels = torch.stack([pixels for _, pixels in batch]).to(layers.device)
        both = [pixels, pixels.flip(3)] if mirrored else [pixels]
        encoded = torch.stack([layers.encode(view) for view in both], dim=1)
        return np.ascontiguousarray(encoded.to(torch.float16).cpu().numpy())

    return side_by_side(read_ahead(pictures, read, BATCH), encode, layers.device)


def _checksum_file(file: Path) -> Path:
    return file.with_suffix(".crc32")


def _read_checksums(file: Path, size: int, pictures: int, views: int) -> np.ndarray:
    """Checksums (done, views) of the maps that a cache holds; of one cut short none are done."""
    try:
        content = _checksum_file(file).read_bytes()
        done, rest = divmod(len(content), 4 * views)
        if file.stat().st_size == size and done <= pictures and not rest:
            return np.frombuffer(content, np.uint32).reshape(-1, views)
    except OSError:
        pass
    return np.zeros((0, views), np.uint32)


def _check_space(folder: Path, size: int, max_gib: float) -> None:
    free = shutil.disk_usage(folder).free
    if size > max_gib * GIB:
        raise CaptionerError(
            f"the feature cache would take {_size(size)}, more than max_cache_gib "
            f"{max_gib:g}; raise that, use fewer pictures or a smaller image_size, or set augment, "
            "which keeps no cache"
        )
    if size > free:
        raise CaptionerError(
            f"the feature cache needs {_size(size)} but {folder} has {_size(free)} "
            "free; free some space or choose another output folder"
        )


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _reserve(file: Path, size: int) -> None:
    """Take the whole space now: a disk that fills later would end the process without a word."""
    with file.open("wb") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)


def _fingerprint(layers: MapSource, pictures: Sequence[Path], mirrored: bool) -> str:
    digest = hashlib.sha256(f"{layers.fingerprint} {layers.image_size} {mirrored}\n".encode())
    for path in pictures:
        stat = path.stat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
