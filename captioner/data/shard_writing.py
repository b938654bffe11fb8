"""Writes pictures with their captions into tar shards, in WebDataset's form."""

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.data.records import CaptionedPicture
from captioner.data.shards import INDEX_SUFFIX, Sample, read_picture_file
from captioner.errors import CaptionerError


def make_shards(
    pictures: Sequence[CaptionedPicture], folder: Path, *, pictures_per_shard: int
) -> Iterator[int]:
    """Write shards and their indexes into a new folder, all or none; yields how many are done.

    The pictures' files go in as they are, in this order. Raises CaptionerError where the folder is
    in use or cannot be written, and for a picture that cannot be read.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CaptionerError(f"{folder} is already there; give a new folder or empty it")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shards-", dir=folder.parent) as scratch:
            unfinished = Path(scratch, "shards")
            unfinished.mkdir()
            yield from _write_shards(pictures, unfinished, pictures_per_shard)
            unfinished.rename(folder)
    except OSError as error:
        raise CaptionerError(f"cannot write {folder}: {error.strerror}") from error


def _write_shards(
    pictures: Sequence[CaptionedPicture], folder: Path, pictures_per_shard: int
) -> Iterator[int]:
    waiting, done = iter(pictures), 0
    for number in range(-(-len(pictures) // pictures_per_shard)):
        shard = folder / f"shard-{number:06}.tar"
        samples = []
        with tarfile.open(shard, "w") as tar:
            for item in islice(waiting, pictures_per_shard):
                samples.append(_add(tar, item, done))
                done += 1
                yield done
        content = {"bytes": os.path.getsize(shard), "samples": [asdict(item) for item in samples]}
        index = shard.with_name(shard.name + INDEX_SUFFIX)
        index.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _add(tar: tarfile.TarFile, item: CaptionedPicture, number: int) -> Sample:
    """Add a picture and its captions under one key; returns where the picture is."""
    picture = read_picture_file(item.path)
    suffix = item.path.suffix.lower()
    if suffix not in PICTURE_SUFFIXES:
        suffix = ".jpg"  # what it really is, its content says
    about = {"image_id": item.image_id, "image": item.path.name, "captions": item.captions}
    name = f"{number:09}{suffix}"
    _add_file(tar, name, picture)
    offset = tar.offset - -(-len(picture) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    _add_file(tar, f"{number:09}.json", json.dumps(about, ensure_ascii=False).encode())
    return Sample(name, offset, len(picture), item.image_id, item.captions)


def _add_file(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # with no owner and no time: the same pictures, the same shard
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
