"""Files written whole or not at all, locks between processes, and files of this package."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

from captioner.errors import CaptionerError

# Path writes s3://bucket/key with one slash. Two letters at least: one is a drive of Windows.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)


def atomic_write(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside this one and move it into place once it is whole.

    Whatever goes wrong, an older file stays as it was and nothing half-written is left; after a
    power cut too, it is the older one or the new one that is there, whole. Raises
    CaptionerError where it cannot be written: no such folder, no permission, a full disk,
    too long a name, a text that UTF-8 has no bytes for.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        write(partial)
        _sync(partial, os.O_RDWR)  # before the name is given, or a power cut may leave it empty
        os.replace(partial, file)
        with suppress(OSError):  # not every system can sync a folder
            _sync(file.parent, os.O_RDONLY)
    except (OSError, UnicodeError) as error:
        raise CaptionerError(
            f"{file}: cannot be written ({_reason(error)}); "
            "choose another folder or name, or free some space"
        ) from error
    finally:
        with suppress(OSError):  # what went wrong before is what counts
            partial.unlink()


def check_output(file: Path) -> None:
    """Check that a file of this name can be there, before the work that fills it.

    Raises CaptionerError where its folder is not there or it is a folder itself.
    """
    if not file.parent.is_dir():
        raise CaptionerError(f"{file}: there is no folder {file.parent}; make it first")
    if file.is_dir():
        raise CaptionerError(f"{file} is a folder; expected the name of a file to write")


def remove_partial(folder: Path, ending: str) -> None:
    """Remove what killed processes left half-written of files in this folder with this ending."""
    for partial in folder.glob(f".*{ending}.partial*"):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    """Wait until the disk has what was written."""
    opened = os.open(path, flags)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def exclusive_lock(lock: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file: no other process gets past its own call until this block ends.

    Where another one holds it: wait, or raise CaptionerError. It too is raised where the file
    cannot be written. A process that ends, however it ends, holds nothing any more.
    """
    from filelock import FileLock, Timeout  # a tenth of a second, and a caption has no use for it

    try:
        held = FileLock(lock).acquire(timeout=-1 if wait else 0)
    except Timeout as error:
        raise CaptionerError(
            f"{lock.parent}: another run is at work here; wait for it or choose another folder"
        ) from error
    except OSError as error:
        raise CaptionerError(
            f"{lock}: cannot be written ({_reason(error)}); choose another folder"
        ) from error
    with held:
        yield


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def remote_address(name: str | Path) -> str | None:
    """The address of a file in a store; None for a path of this machine."""
    text = str(name)
    found = _SCHEME.match(text)
    if not found:
        return None
    slashes = ":///" if found[1].lower() in ("file", "local") else "://"
    return f"{found[1]}{slashes}{text[found.end() :]}"


def asset(package: str, name: str) -> str:
    """The text of a file that is installed with a package, such as captioner.serve."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def best_of_run(folder: Path) -> Path:
    """The best checkpoint of a run by its folder; of its last stage, where it has several.

    Raises CaptionerError where the folder has none.
    """
    found = [folder / "best.safetensors"]
    if (folder / "settings.toml").is_file():  # without it, what is inside are runs of their own
        found += folder.glob("*/best.safetensors")
    found = [file for file in found if file.is_file()]
    if not found:
        raise CaptionerError(
            f"{folder}: a folder without best.safetensors; expected a checkpoint or the folder of "
            "a run"
        )
    return max(found, key=lambda file: file.stat().st_mtime)


def default_checkpoint() -> Path:
    """The bundled checkpoint: in an installed package, or beside the package in a clone."""
    here = Path(__file__).parent
    for folder in (here, here.parent):
        file = folder / "checkpoints" / "default.safetensors"
        if file.is_file():
            return file
    raise CaptionerError(
        "no checkpoint is bundled with this installation; give one with --checkpoint FILE"
    )


def sample_folder() -> Path | None:
    """The folder of the bundled sample pictures, in an installed package or a clone, if any."""
    here = Path(__file__).parent
    folders = (here / "samples", here.parent / "data" / "samples")
    return next((folder for folder in folders if folder.is_dir()), None)
