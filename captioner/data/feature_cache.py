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

from captioner.data.augmentation import CROPS, random_crop
from captioner.data.images import open_picture, to_tensor
from captioner.data.shards import size_and_time
from captioner.errors import CaptionerError
from captioner.files import atomic_write, exclusive_lock
from captioner.runtime import read_ahead, side_by_side

BATCH = 32
SAVE_BATCHES = 20
GIB = 2**30

_KEY_BYTES = 16
_ENTRY = np.dtype([("key", f"V{_KEY_BYTES}"), ("checksum", "<u4")])

Variant = tuple[int, bool]  # the number of a crop, 0 for the whole picture; whether it is mirrored


class FeatureCache:
    """The maps of pictures, of their mirror images and of crops of both, float16, on disk.

    The maps of one encoder are in one file, each variant of each picture at a place of its own, so
    that whoever needs more of them adds only those. The file's name holds a fingerprint of the
    frozen weights. Beside it, the index has an entry for each place in order: a key, made from the
    picture's path, size and time and the variant, and the checksum of the maps. The file is
    memory-mapped, so reading costs no more memory than a batch. Maps that are no longer needed stay
    until the file is deleted.
    """

    def __init__(
        self, file: Path, index: np.ndarray, places: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        self.file = file
        self.places = places  # (pictures, 1 + crops, 1 or 2 with mirror images)
        self.maps = np.memmap(file, dtype=np.float16, mode="r", shape=(len(index), *shape))
        self.checksums = index["checksum"]  # (places,)
        self.verified = np.zeros(len(index), dtype=bool)

    @property
    def crops(self) -> int:
        """The number of crops of each picture, apart from the whole."""
        return int(self.places.shape[1]) - 1

    def read(self, picture: int, crop: int, mirrored: bool) -> Tensor:
        """Maps of one picture, float16; CaptionerError where they are not those that were written.

        crop: 0 is the whole picture. The maps are verified when they are first read.
        """
        place = self.places[picture, crop, int(mirrored)]
        maps = self.maps[place].copy()
        if not self.verified[place]:
            if zlib.crc32(maps) != self.checksums[place]:
                raise CaptionerError(
                    f"{self.file}: the feature cache is damaged (the maps of picture {picture} are "
                    "not those that were written); delete it and go on with --resume, which builds "
                    "it again"
                )
            self.verified[place] = True
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

    def cache_size(self, pictures: int, *, mirrored: bool, crops: int) -> int:
        """Bytes that a cache of so many pictures takes on disk."""
        return self.map_bytes * pictures * len(_variants(mirrored, crops))

    @property
    def map_bytes(self) -> int:
        """Bytes of the maps of one picture."""
        return int(np.prod(self.map_shape)) * 2


@dataclass(frozen=True)
class _Missing:
    """A picture of which the cache lacks maps, and their keys."""

    path: Path
    keys: dict[Variant, bytes]

    def read(self, image_size: int) -> dict[int, Tensor]:
        """The pixels (3, image_size, image_size) of each crop that is needed."""
        picture = open_picture(self.path)
        pixels = {}
        for crop in dict.fromkeys(crop for crop, _ in self.keys):
            seed = zlib.crc32(f"{self.path.name} {crop}".encode(errors="surrogateescape"))
            part = random_crop(picture, image_size, seed) if crop else picture
            pixels[crop] = to_tensor(part, image_size)
        return pixels


def build_cache(
    layers: MapSource,
    pictures: Sequence[Path],
    folder: Path,
    *,
    mirrored: bool,
    crops: int,
    max_gib: float,
    progress: Callable[[int], None],
) -> FeatureCache:
    """Compute what the cache lacks of these pictures; progress is called with how many it has.

    mirrored: keep mirror images too. crops: keep so many random crops of each picture, always the
    same of a picture of the same name. Raises CaptionerError before any work where the maps of
    these pictures would take more than max_gib, or those to be added more than the free space, and
    for a picture that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"features-{_fingerprint(layers)}.f16"
    keys = _keys(pictures, _variants(mirrored, crops))
    with exclusive_lock(file.with_suffix(".lock"), wait=True):
        index = _read_index(file, layers.map_bytes)
        missing = _find_missing(pictures, keys, index)
        if missing:
            _check_limit(layers.cache_size(len(pictures), mirrored=mirrored, crops=crops), max_gib)
            new = sum(len(item.keys) for item in missing)
            _make_room(file, len(index) * layers.map_bytes, new * layers.map_bytes)
            before = len(pictures) - len(missing)
            index = _complete(file, index, layers, missing, lambda done: progress(before + done))
    places = {key: place for place, key in enumerate(index["key"].tolist())}
    found = np.array([[places[key] for key in own.values()] for own in keys])
    found = found.reshape(len(pictures), 1 + crops, 1 + mirrored)
    return FeatureCache(file, index, found, layers.map_shape)


def _complete(
    file: Path,
    index: np.ndarray,
    layers: MapSource,
    missing: Sequence[_Missing],
    progress: Callable[[int], None],
) -> np.ndarray:
    """Compute the maps that are missing and add them; returns the new index."""
    start, done = len(index), 0
    total = start + sum(len(item.keys) for item in missing)
    maps = np.memmap(file, np.float16, "r+", shape=(total, *layers.map_shape))
    new: list[tuple[bytes, int]] = []
    for number, (batch, encoded) in enumerate(_encode(layers, missing), start=1):
        keys = [key for item in batch for key in item.keys.values()]
        new += [(key, zlib.crc32(view)) for key, view in zip(keys, encoded, strict=True)]
        maps[start : start + len(encoded)] = encoded
        start, done = start + len(encoded), done + len(batch)
        if number % SAVE_BATCHES == 0 or done == len(missing):
            maps.flush()  # before the index says that they are there
            index = np.concatenate([index, np.array(new, _ENTRY)])
            new.clear()
            atomic_write(_index_file(file), index.tofile)
        progress(done)
    return index


def _encode(
    layers: MapSource, missing: Sequence[_Missing]
) -> Iterator[tuple[list[_Missing], np.ndarray]]:
    """Some pictures at a time, in order, with their missing maps (variants, *map_shape), float16.

    Those of BATCH pictures, or of fewer with crops: each crop takes as much memory.
    """
    most = max((len({crop for crop, _ in item.keys}) for item in missing), default=1)

    def read(item: _Missing) -> dict[int, Tensor]:
        return item.read(layers.image_size)

    def encode(
        batch: list[tuple[_Missing, dict[int, Tensor]]],
    ) -> tuple[list[_Missing], np.ndarray]:
        maps: dict[bytes, Tensor] = {}
        for variant in sorted({variant for item, _ in batch for variant in item.keys}):
            crop, mirrored = variant
            views = {
                item.keys[variant]: pixels[crop] for item, pixels in batch if variant in item.keys
            }
            stacked = torch.stack(list(views.values())).to(layers.device)
            encoded = layers.encode(stacked.flip(3) if mirrored else stacked)
            maps |= zip(views, encoded.to(torch.float16).cpu(), strict=True)
        items = [item for item, _ in batch]
        return items, torch.stack(
            [maps[key] for item in items for key in item.keys.values()]
        ).numpy()

    batches = read_ahead(missing, read, max(1, BATCH // most))
    return side_by_side(batches, encode, layers.device)


def _find_missing(
    pictures: Sequence[Path], keys: Sequence[dict[Variant, bytes]], index: np.ndarray
) -> list[_Missing]:
    """The pictures with variants that the index does not have, each once."""
    known = set(index["key"].tolist())
    missing: dict[Path, _Missing] = {}
    for path, own in zip(pictures, keys, strict=True):
        lacking = {variant: key for variant, key in own.items() if key not in known}
        if lacking:
            missing[path] = _Missing(path, lacking)
    return list(missing.values())


def _index_file(file: Path) -> Path:
    return file.with_suffix(".index")


def _read_index(file: Path, map_bytes: int) -> np.ndarray:
    """The index of a cache; empty where there is none, or one that says more than there is."""
    try:
        content = _index_file(file).read_bytes()
        entries, rest = divmod(len(content), _ENTRY.itemsize)
        if file.stat().st_size >= entries * map_bytes and not rest:
            return np.frombuffer(content, _ENTRY)
    except OSError:
        pass
    return np.empty(0, _ENTRY)


def _make_room(file: Path, kept: int, added: int) -> None:
    """Take the space of so many more bytes now; CaptionerError where the disk has less.

    A disk that fills later would end the process without a word. kept: the bytes of the maps that
    are there; what lies beyond them was begun only, and gives its space back first.
    """
    if not kept:
        # In this order, or what is begun would count as done. Others may still read the old file.
        _index_file(file).unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        file.touch()
    os.truncate(file, kept)
    free = shutil.disk_usage(file.parent).free
    if added > free:
        raise CaptionerError(
            f"the feature cache needs {_size(added)} but {file.parent} has {_size(free)} "
            "free; free some space or choose another output folder"
        )
    with file.open("r+b") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), kept, added)
        else:
            opened.truncate(kept + added)


def _check_limit(size: int, max_gib: float) -> None:
    if size > max_gib * GIB:
        raise CaptionerError(
            f"the feature cache would take {_size(size)}, more than max_cache_gib "
            f"{max_gib:g}; raise that, use fewer pictures, fewer cached_crops or a smaller "
            "image_size, or set augment without cached_crops, which keeps no cache"
        )


def _size(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"


def _fingerprint(layers: MapSource) -> str:
    about = f"{layers.fingerprint} {layers.image_size} {layers.map_shape}"
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def _variants(mirrored: bool, crops: int) -> list[Variant]:
    """The variants of each picture that a cache keeps, in order."""
    return [(crop, side) for crop in range(1 + crops) for side in (False, True)[: 1 + mirrored]]


def _keys(pictures: Sequence[Path], variants: Sequence[Variant]) -> list[dict[Variant, bytes]]:
    """The keys of each picture's variants: of its path, size and time, and the variant."""
    names = {
        (crop, mirrored): f"{mirrored} crop {crop} {CROPS}" if crop else f"{mirrored}"
        for crop, mirrored in variants
    }
    folders: dict[Path, Path] = {}  # to resolve every file would take seconds
    keys = []
    for path in pictures:
        (size, time), folder = size_and_time(path), path.parent
        if folder not in folders:
            folders[folder] = folder.resolve()
        about = f"{folders[folder]}/{path.name} {size} {time}"
        keys.append({variant: _key(f"{about} {names[variant]}") for variant in variants})
    return keys


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="surrogateescape")).digest()[:_KEY_BYTES]
