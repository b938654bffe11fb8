"""Tar shards as sources of captions and pictures for training, in WebDataset's form.

A picture in a shard has a path, such as shards/shard-000000.tar/000000042.jpg, and is read from its
place in the tar file, so that shards work wherever a folder of pictures does. Where the places are
says the index beside a shard; without one, the shard's headers.
"""

import json
import tarfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from captioner.data.addresses import (
    is_folder,
    names_in,
    open_file,
    read_file,
    read_range,
    reported,
    size_of,
)
from captioner.data.caption_json import CAPTION_NAMES
from captioner.data.caption_source import CaptionReader, CaptionSource
from captioner.data.picture_bounds import MAX_BYTES
from captioner.data.picture_folder import PICTURE_SUFFIXES
from captioner.data.records import CaptionFile, CaptionRecord, parse_json
from captioner.data.tar_files import is_picture_member
from captioner.errors import CaptionerError
from captioner.files import remote_address

INDEX_SUFFIX = ".index.json"  # after the shard's own name


@dataclass(frozen=True)
class Sample:
    """A picture in a shard: its name there, where its bytes are, its id and its captions."""

    name: str
    offset: int
    size: int
    image_id: int | str | None  # None: it has none but its name
    captions: tuple[str, ...]


def has_member(path: Path) -> bool:
    """Whether a path leads to a picture in a tar file."""
    return _find(path) is not None


def read_member(path: str | Path) -> bytes | None:
    """The bytes of the picture in a tar file that a path leads to; None if it leads to none.

    Raises CaptionerError where the tar file cannot be read or is another than its index says.
    """
    found = _find(Path(path))
    if found is None:
        return None
    shard, sample = found
    return read_range(shard, sample.offset, min(sample.size, MAX_BYTES + 1))


def read_picture_file(path: Path) -> bytes:
    """The bytes of a picture, in a file of its own or in a shard."""
    content = None if path.is_file() else read_member(path)
    return read_file(path) if content is None else content


def size_and_time(path: Path) -> tuple[int, int]:
    """The bytes of a picture, in a file of its own or in a shard, and when the file was written.

    In nanoseconds; where the shard is in a store, its size in place of the time.
    """
    found = None if path.is_file() else _find(path)
    if found is None:
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    shard, sample = found
    if remote_address(shard) is not None:
        return sample.size, size_of(shard)
    return sample.size, shard.stat().st_mtime_ns


def _find(path: Path) -> tuple[Path, Sample] | None:
    """The shard that a path leads into, and the picture there."""
    if ".tar" not in str(path):  # almost always; the rest takes longer
        return None
    for shard in path.parents:
        if shard.suffix == ".tar" and (remote_address(shard) or shard.is_file()):
            sample = _samples_by_name(shard).get(path.relative_to(shard).as_posix())
            return None if sample is None else (shard, sample)
    return None


def _samples_by_name(shard: Path) -> dict[str, Sample]:
    if remote_address(shard) is not None:
        return _index(shard, 0)  # to ask for its time again and again would take too long
    return _index(shard, shard.stat().st_mtime_ns)


@cache
def _index(shard: Path, time: int) -> dict[str, Sample]:
    """The pictures of a shard by name, in its order; kept as long as its file stays the same."""
    return {sample.name: sample for sample in _read_index(shard) or _scan(shard)}


def _read_index(shard: Path) -> list[Sample] | None:
    """What the index beside a shard says; None without one."""
    file = shard.with_name(shard.name + INDEX_SUFFIX)
    if remote_address(shard) is None:
        if not file.is_file():
            return None
    elif file.name not in names_in(shard.parent):
        return None
    try:
        content = json.loads(read_file(file))
        samples = [
            Sample(**record | {"captions": tuple(record["captions"])})
            for record in content["samples"]
        ]
        size = int(content["bytes"])
    except (ValueError, LookupError, TypeError) as error:
        raise CaptionerError(f"{file} is damaged; copy it again, or delete it") from error
    if size_of(shard) != size:
        raise CaptionerError(
            f"{shard} has {size_of(shard)} bytes, {file.name} says {size}; copy it again"
        )
    return samples


def _scan(shard: Path) -> list[Sample]:
    """Read the headers of a shard and the captions in it, which WebDataset keeps under one key."""
    pictures: dict[str, tarfile.TarInfo] = {}
    texts: dict[str, dict[str, bytes]] = {}
    with open_file(shard) as file, reported(shard):
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    key, ending = _split_name(member.name)
                    if is_picture_member(member):
                        pictures.setdefault(key, member)
                    elif member.isfile() and ending in ("json", "txt"):
                        text = tar.extractfile(member)
                        assert text is not None  # it is a file
                        texts.setdefault(key, {})[ending] = text.read(MAX_BYTES)
        except tarfile.TarError as error:
            raise CaptionerError(f"{shard} is damaged or cut short ({error})") from error
    last = max((member.offset_data + member.size for member in pictures.values()), default=0)
    if size_of(shard) < last:
        raise CaptionerError(f"{shard} is cut short; copy it again")
    samples = []
    for key, member in pictures.items():
        image_id, captions = _captions_of(texts.get(key, {}), f"{shard}/{key}")
        samples.append(Sample(member.name, member.offset_data, member.size, image_id, captions))
    return samples


def _split_name(name: str) -> tuple[str, str]:
    """WebDataset's key of a member, up to the first dot of its last part, and what follows it."""
    folder, slash, last = name.rpartition("/")
    stem, _, ending = last.partition(".")
    return folder + slash + stem, ending.lower()


def _captions_of(texts: dict[str, bytes], where: str) -> tuple[int | str | None, tuple[str, ...]]:
    """The id and the captions in a sample's .json, or else the lines of its .txt."""
    try:
        decoded = {ending: text.decode("utf-8-sig") for ending, text in texts.items()}
    except UnicodeDecodeError as error:
        raise CaptionerError(f"{where}: its captions are not UTF-8 text") from error
    record = parse_json(decoded["json"], f"{where}.json:") if "json" in decoded else {}
    found = record if isinstance(record, dict) else {}
    captions: Any = next((found[name] for name in CAPTION_NAMES if name in found), None)
    if captions is None:
        captions = decoded.get("txt", "").splitlines()
    captions = [captions] if isinstance(captions, str) else captions
    image_id = found.get("image_id")
    if (
        not isinstance(captions, list)
        or not all(isinstance(caption, str) for caption in captions)
        or not isinstance(image_id, int | str | None)
    ):
        raise CaptionerError(f'{where}.json: expected {{"image_id": 1, "captions": ["a dog"]}}')
    return image_id, tuple(captions)


def _is_shards(source: CaptionSource) -> bool:
    """Whether it is a tar file, or a folder of them without pictures of its own."""
    file = source.file
    if remote_address(file) is None and not file.is_dir():
        return file.suffix == ".tar" and file.is_file()
    if remote_address(file) is not None and file.suffix == ".tar":
        return True
    if not is_folder(file):
        return False
    names = names_in(file)
    return any(name.endswith(".tar") for name in names) and not any(
        name.lower().endswith(PICTURE_SUFFIXES) for name in names
    )


def read_shards(source: CaptionSource) -> CaptionFile:
    """The pictures of a shard, or of all shards of a folder in the order of their names."""
    file = source.file
    shards = [file]
    if file.suffix != ".tar" or (remote_address(file) is None and file.is_dir()):
        shards = [file / name for name in names_in(file) if name.endswith(".tar")]
    records = []
    for shard in shards:
        for sample in _samples_by_name(shard).values():
            name = f"{shard.name}/{sample.name}"
            image_id = name if sample.image_id is None else sample.image_id
            records.append(CaptionRecord(name, image_id, sample.captions))
    return CaptionFile(records)


READERS = (CaptionReader("a folder of tar shards", _is_shards, read_shards),)
