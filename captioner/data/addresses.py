"""Files by path, or by the address of a store that fsspec reaches, such as s3://bucket/key."""

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from captioner.errors import CaptionerError
from captioner.files import atomic_write, remote_address

_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d+)\.\.(\d+)")
MAX_NAMES = 10_000_000  # from one pattern of braces


def open_file(name: str | Path) -> IO[bytes]:
    """Open a file for reading; raises CaptionerError where it cannot be opened."""
    address = remote_address(name)
    with reported(name):
        if address is None:
            return Path(name).open("rb")
        store, path = _store(address)
        opened: IO[bytes] = store.open(path, "rb")
        return opened


def read_range(name: str | Path, start: int, length: int) -> bytes:
    """So many bytes of a file from `start` on; CaptionerError where it has not so many."""
    address = remote_address(name)
    with reported(name):
        if address is None:
            with Path(name).open("rb") as file:
                file.seek(start)
                content = file.read(length)
        else:
            store, path = _store(address)
            content = store.cat_file(path, start=start, end=start + length)
    if len(content) != length:
        raise CaptionerError(
            f"{name} ends within what is read of it ({len(content)} of {length} bytes from "
            f"{start} on); copy it again"
        )
    return content


def read_file(name: str | Path, most: int = -1) -> bytes:
    """The content of a file, or its first `most` bytes; CaptionerError where it can't be read."""
    with open_file(name) as file, reported(name):
        return file.read(most)


def size_of(name: str | Path) -> int:
    """The bytes of a file; raises CaptionerError where it cannot be asked for."""
    address = remote_address(name)
    with reported(name):
        if address is None:
            return Path(name).stat().st_size
        store, path = _store(address)
        return int(store.size(path))


def write_file(name: str | Path, content: bytes) -> None:
    """Write a file whole or not at all; raises CaptionerError where it cannot be written.

    In a store a file is there once it has been sent whole.
    """
    address = remote_address(name)
    if address is None:
        atomic_write(Path(name), lambda partial: partial.write_bytes(content))
        return
    with reported(name, "written"):
        store, path = _store(address)
        store.pipe_file(path, content)


def make_folder(name: str | Path) -> None:
    """Make a folder, with those above it, unless it is there; CaptionerError if it can't be."""
    address = remote_address(name)
    with reported(name, "made a folder"):
        if address is None:
            Path(name).mkdir(parents=True, exist_ok=True)
        else:
            store, path = _store(address)
            store.makedirs(path, exist_ok=True)


def is_folder(name: str | Path) -> bool:
    """Whether there is a folder of this name."""
    address = remote_address(name)
    if address is None:
        return Path(name).is_dir()
    with reported(name):
        store, path = _store(address)
        return bool(store.isdir(path))


def names_in(folder: str | Path) -> list[str]:
    """The names of what is in a folder, sorted; CaptionerError where it cannot be listed.

    In a store, a folder that holds nothing is not there.
    """
    address = remote_address(folder)
    with reported(folder):
        if address is None:
            return sorted(path.name for path in Path(folder).iterdir())
        store, path = _store(address)
        store.invalidate_cache(path)
        try:
            names = store.ls(path, detail=False)
        except FileNotFoundError:
            return []
        return sorted(name.rstrip("/").rpartition("/")[2] for name in names)


def files_below(folder: str) -> list[str]:
    """The addresses of all files in a folder of a store and the folders in it, sorted."""
    with reported(folder):
        store, path = _store(folder)
        return sorted(map(store.unstrip_protocol, store.find(path)))


def expand(pattern: str) -> list[str]:
    """The files that a pattern stands for: {000..099} and {a,b}, then *, ? and [].

    Braces are in their order, what * matches is sorted. A name without any of these stands for
    itself. Raises CaptionerError where one matches no file.
    """
    if remote_address(pattern) is None and Path(pattern).exists():
        return [pattern]
    found: list[str] = []
    for name in _expand_braces(pattern):
        matches = _matches(name) if glob.has_magic(name) else [name]
        if not matches:
            raise CaptionerError(f"{name}: matches no file; check the pattern")
        found += matches
        if len(found) > MAX_NAMES:
            raise CaptionerError(f"{pattern}: more than {MAX_NAMES} names; give a part of them")
    return found


def _matches(pattern: str) -> list[str]:
    address = remote_address(pattern)
    if address is None:
        return sorted(glob.glob(pattern, recursive=True))
    with reported(pattern):
        store, path = _store(address)
        return sorted(map(store.unstrip_protocol, store.glob(path)))


def _expand_braces(pattern: str) -> Iterator[str]:
    found = _BRACES.search(pattern)
    if not found:
        yield pattern
        return
    before, after = pattern[: found.start()], pattern[found.end() :]
    numbers = _NUMBERS.fullmatch(found[1])
    if numbers:
        first, last = int(numbers[1]), int(numbers[2])
        width = len(numbers[1])
        choices: Any = (f"{number:0{width}}" for number in range(first, last + 1))
    else:
        choices = found[1].split(",")
    for choice in choices:
        yield from _expand_braces(before + choice + after)


def _store(address: str) -> tuple[Any, str]:
    """What fsspec reaches an address with, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise CaptionerError(
            f"{address} is not on this machine, which needs the extra cluster: "
            "pip install '.[cluster]'"
        ) from error
    store, path = url_to_fs(address)
    return store, path


@contextmanager
def reported(name: str | Path, what: str = "read") -> Iterator[None]:
    """Turn what stores and systems raise into a CaptionerError that names the file."""
    try:
        yield
    except CaptionerError:
        raise
    except FileNotFoundError as error:
        raise CaptionerError(f"no such file: {name}") from error
    except ImportError as error:  # of the package for one kind of store
        raise CaptionerError(
            f"{name}: addresses of this kind need one more package ({error})"
        ) from error
    except Exception as error:  # each kind of store has errors of its own
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise CaptionerError(
            f"{name} cannot be {what} ({reason or type(error).__name__})"
        ) from error
