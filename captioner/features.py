"""The feature cache: the output of the encoder's frozen stages, computed once and kept on disk."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioner.encoder import Encoder
from captioner.errors import CaptionerError
from captioner.images import open_picture, to_tensor
from captioner.reading import read_ahead
from captioner.side_by_side import side_by_side

BATCH = 32
SAVE_BATCHES = 20
GIB = 2**30


class FeatureCache:
    """What `Encoder.trunk` makes of each picture and of its mirror image, float16, on disk.

    The file is memory-mapped, so reading costs no more memory than a batch. Its name holds a
    fingerprint of the frozen weights and of the pictures' names, sizes and times, so that a
    cache never serves another encoder or other pictures. Building it can be interrupted: how many
    pictures are done stands beside it and building goes on from there.
    """

    def __init__(self, file: Path, *, pictures: int, views: int, shape: tuple[int, ...]) -> None:
        self.maps = np.memmap(file, dtype=np.float16, mode="r", shape=(pictures, views, *shape))

    def read(self, picture: int, mirrored: bool) -> Tensor:
        """One picture's maps, as `Encoder.trunk` gives them but float16."""
        return torch.from_numpy(self.maps[picture, int(mirrored)].copy())


def cache_size(encoder: Encoder, pictures: int, *, mirrored: bool) -> int:
    """Bytes that a cache of so many pictures takes on disk."""
    return int(np.prod(_map_shape(encoder))) * 2 * pictures * (2 if mirrored else 1)


def build_cache(
    encoder: Encoder,
    pictures: Sequence[Path],
    folder: Path,
    *,
    mirrored: bool,
    max_gib: float,
    autocast: bool,
    progress: Callable[[int], None],
) -> FeatureCache:
    """Compute or complete the cache of these pictures; progress hears how many are done.

    mirrored: keep each picture's mirror image too. Raises CaptionerError before any work where
    the cache would be larger than max_gib or than the free space, and for a picture that cannot
    be read.
    """
    shape, views = _map_shape(encoder), 2 if mirrored else 1
    size = cache_size(encoder, len(pictures), mirrored=mirrored)
    file = folder / f"features-{_fingerprint(encoder, pictures, mirrored, autocast)}.f16"
    counter = file.with_suffix(".json")
    done = _done(file, counter, size)
    if not done:
        file.unlink(missing_ok=True)  # what was begun would count as room that is taken
        _check_room(folder, size, max_gib)
        _reserve(file, size)
    if done < len(pictures):
        maps = np.memmap(file, np.float16, "r+", shape=(len(pictures), views, *shape))
        folded = deepcopy(encoder)
        folded.fold_batch_norms()
        end = done

        def read(picture: Path) -> Tensor:
            return to_tensor(open_picture(picture), encoder.image_size)

        def encode(batch: list[tuple[Path, Tensor]]) -> np.ndarray:
            return _encode(folded, [pixels for _, pixels in batch], mirrored, autocast)

        batches = read_ahead(pictures[done:], read, BATCH)
        encoded = side_by_side(batches, encode, encoder.positions.device)
        for batch, those in enumerate(encoded, start=1):
            start, end = end, end + len(those)
            maps[start:end] = those
            if batch % SAVE_BATCHES == 0 or end == len(pictures):
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


def _encode(
    encoder: Encoder, pictures: Sequence[Tensor], mirrored: bool, autocast: bool
) -> np.ndarray:
    """Maps (pictures, views, ...) of pictures, each of pixels (3, S, S)."""
    pixels = torch.stack(list(pictures)).to(encoder.positions.device)
    views = [pixels, pixels.flip(3)] if mirrored else [pixels]
    with torch.autocast(pixels.device.type, dtype=torch.bfloat16, enabled=autocast):
        maps = torch.stack([encoder.trunk(view) for view in views], dim=1)
    return maps.to(torch.float16).cpu().numpy()


def _map_shape(encoder: Encoder) -> tuple[int, ...]:
    size, device = encoder.image_size, encoder.positions.device
    return tuple(encoder.trunk(torch.zeros(1, 3, size, size, device=device)).shape[1:])


def _check_room(folder: Path, size: int, max_gib: float) -> None:
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
    """Take the whole room now: a disk that fills later would end the process without a word."""
    with file.open("wb") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
        else:
            opened.truncate(size)


def _fingerprint(encoder: Encoder, pictures: Sequence[Path], mirrored: bool, autocast: bool) -> str:
    frozen = encoder.layers[: encoder.frozen_layers]
    about = [encoder.backbone, encoder.image_size, len(frozen), mirrored, autocast]
    digest = hashlib.sha256(json.dumps(about).encode())
    for layer in frozen:
        for tensor in layer.state_dict().values():
            # A weight of -0.0, which becomes 0.0 in an average of itself, is the same.
            digest.update((tensor.cpu() + 0).contiguous().numpy().tobytes())
    for path in pictures:
        stat = path.stat()
        digest.update(f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
