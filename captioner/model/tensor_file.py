"""Tensors with metadata in a .safetensors file: written whole, verified by a checksum when read."""

import json
import os
import shutil
import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from captioner.errors import CaptionerError
from captioner.files import atomic_write

CHECKSUM = "checksum"


def write_tensors(tensors: dict[str, Tensor], metadata: dict[str, str], file: Path) -> None:
    """A .safetensors file, whole or not at all; CaptionerError when it cannot be written.

    Its metadata gets a checksum of everything in it, which `read_tensors` verifies.
    """
    metadata = metadata | {CHECKSUM: _checksum(tensors, metadata)}

    def write(partial: Path) -> None:
        partial.touch()
        mode = partial.stat().st_mode  # safetensors would leave a file that only its owner reads
        # It writes under a random name first; in a folder of its own, nothing of a killed
        # process stays for good.
        folder = partial.with_name(f"{partial.name}.folder")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            save_file(tensors, folder / file.name, metadata=metadata)
            os.replace(folder / file.name, partial)
        except SafetensorError as error:  # its name for any failure to write, a full disk too
            raise OSError(str(error)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        partial.chmod(mode)

    atomic_write(file, write)


def read_tensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors and the metadata of a .safetensors file.

    A file that is replaced meanwhile, as by a training run, is read again. Raises CaptionerError
    where it cannot be read, or holds a checksum that does not fit the rest.
    """
    while True:
        before = _identity(file)
        try:
            content = _read_once(file)
        except CaptionerError:
            if _identity(file) == before:
                raise
        else:
            if _identity(file) == before:
                return content


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _read_once(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not file.is_file():
        raise CaptionerError(f"{file}: no such checkpoint file")
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            metadata = opened.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise CaptionerError(
            f"{file}: not a readable .safetensors checkpoint ({error}); "
            "it may be truncated: copy or train it again"
        ) from error
    written = metadata.pop(CHECKSUM, None)
    if written not in (None, _checksum(tensors, metadata)):
        raise CaptionerError(
            f"{file}: damaged since it was written (its checksum is another); "
            "copy or train it again"
        )
    return tensors, metadata


def _checksum(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """CRC-32 of the metadata and of the tensors' names, types, shapes and values."""
    names = sorted(tensors)
    about = [(name, str(tensors[name].dtype), list(tensors[name].shape)) for name in names]
    checksum = zlib.crc32(json.dumps([sorted(metadata.items()), about]).encode())
    for name in names:
        values = tensors[name].reshape(-1).view(torch.uint8)
        checksum = zlib.crc32(values.numpy().data, checksum)
    return f"{checksum:08x}"
