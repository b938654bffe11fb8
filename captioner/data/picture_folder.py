"""Which files of a folder are pictures."""

import os
import warnings
from pathlib import Path

from captioner.errors import CaptionerError, CaptionerWarning

PICTURE_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".mpo",
    ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")

# How the content of pictures begins, for files with other endings or none.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ")
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")


def pictures_in(folder: Path) -> list[Path]:
    """List the pictures in a folder and the folders in it, sorted; warns of other files.

    Files and folders that are hidden, and the copies that macOS puts into archives (`__MACOSX`,
    `._a.jpg`), do not count. Links to folders are not followed; a link to a picture that is not
    there counts, so that reading it reports it. Warns of folders that cannot be read. Raises
    CaptionerError where there is no picture.
    """
    pictures: list[Path] = []
    others: list[Path] = []
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and (path.is_file() or not path.exists()):
                (pictures if is_picture(path) else others).append(path)
    for error in unreadable:
        message = f"{error.filename}: a folder that cannot be read ({error.strerror})"
        if not pictures:
            raise CaptionerError(message)
        warnings.warn(f"{message}; its pictures are left out", CaptionerWarning, stacklevel=2)
    if not pictures:
        raise CaptionerError(
            f"{folder}: no pictures in this folder; expected files such as .jpg, .png or .webp"
        )
    if others:
        first = min(others).relative_to(folder)
        warnings.warn(
            f"{folder}: {len(others)} files are not pictures and are left out, such as {first}",
            CaptionerWarning,
            stacklevel=2,
        )
    return sorted(pictures)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by the ending of its name or else by its first bytes."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    is_webp = start.startswith(b"RIFF") and start.endswith(b"WEBP")
    is_heif = start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis", *HEIF_BRANDS)
    return start.startswith(_STARTS) or is_webp or is_heif
