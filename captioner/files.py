"""Files are written whole or not at all."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from captioner.errors import CaptionerError


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside this one and move it into place once it is whole.

    Whatever goes wrong, an older file stays as it was and nothing half-written is left. Raises
    CaptionerError where it cannot be written: no such folder, no permission, a full disk,
    too long a name.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        write(partial)
        os.replace(partial, file)
    except OSError as error:
        raise CaptionerError(
            f"{file}: cannot be written ({error.strerror or error}); "
            "choose another folder or name, or free some space"
        ) from error
    finally:
        with suppress(OSError):  # what went wrong before is what counts
            partial.unlink()
