"""Finds the pictures that a caption or question file names, in the folders that the user gave."""

import filecmp
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from captioner.data.addresses import is_folder
from captioner.data.records import first_three
from captioner.data.shards import has_member
from captioner.errors import CaptionerError, CaptionerWarning

MAX_MISSING = 0.1  # largest share of a file's pictures that may be skipped as missing


@dataclass
class FoundPictures:
    """Which file each name stands for.

    partly: the names found by their end alone, so that the file may be another picture of the same
    name. ambiguous: the names for which there are several files, or whose file another name has.
    """

    paths: dict[str, Path] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def find_pictures(file_names: Iterable[str], images: Sequence[Path]) -> FoundPictures:
    """Find the pictures of these names.

    The whole name is looked for in every folder first, and the first folder counts, with a warning
    where another one holds another picture of that name; then less and less of its folders, as long
    as only one file fits. Raises CaptionerError where one of the folders is not there.
    """
    for folder in images:
        if not is_folder(folder):
            raise CaptionerError(f"{folder} is not a folder; expected one that holds the pictures")
    found = FoundPictures()
    names_of_path: defaultdict[Path, list[str]] = defaultdict(list)
    in_several: list[str] = []
    for name in dict.fromkeys(file_names):
        whole = [file for folder in images for file in _existing(folder, name)]
        if len(whole) > 1 and _differ(_distinct(whole)):
            in_several.append(name)
        files, is_whole = (whole[:1], True) if whole else _files_by_end(name, images)
        if not files:
            found.missing.append(name)
        elif len(files) > 1:
            found.ambiguous.append(name)
        else:
            found.paths[name] = files[0]
            names_of_path[files[0]].append(name)
            if not is_whole:
                found.partly.append(name)
    # A file that two names have is right for at most one of those that were found by their end.
    shared = [name for name in found.partly if len(names_of_path[found.paths[name]]) > 1]
    for name in shared:
        del found.paths[name]
    found.ambiguous += shared
    found.partly = [name for name in found.partly if name in found.paths]
    if in_several:
        _warn_of_other_pictures(in_several, found.paths[in_several[0]])
    return found


def _warn_of_other_pictures(names: Sequence[str], first: Path) -> None:
    warnings.warn(
        f"{len(names)} of the names are different pictures in several folders, such as "
        f"{names[0]}, for which {first} is read; put the folders into the names",
        CaptionerWarning,
        stacklevel=3,
    )


def require_pictures(
    file_names: Sequence[str], images: Sequence[Path], file: Path, *, skip_missing: bool = False
) -> dict[str, Path]:
    """The pictures that `file` names; warns of those found by the end of their names alone.

    skip_missing: leave out, with a warning, those that are not there. Raises CaptionerError where
    a picture is missing, or more than a tenth of them, and where a name fits several files.
    """
    found = find_pictures(file_names, images)
    if found.ambiguous:
        raise CaptionerError(
            f"{file}: {len(found.ambiguous)} of its names fit several pictures, or several names "
            f"fit one: {first_three(found.ambiguous)}; give the folders that these names start "
            "from with --images"
        )
    if found.missing:
        folders = ", ".join(str(folder) for folder in images) or "no folder"
        report_missing(
            f"{file}: {len(found.missing)} of its pictures are not in {folders}: "
            f"{first_three(found.missing)}",
            len(found.missing) / len(set(file_names)),
            skip_missing=skip_missing,
        )
    if found.partly:
        name = found.partly[0]
        warnings.warn(
            f"{file}: {len(found.partly)} of its pictures were found without the folder in their "
            f"names, such as {name} as {found.paths[name]}; check that they are the same",
            CaptionerWarning,
            stacklevel=2,
        )
    return found.paths


def report_missing(message: str, share: float, *, skip_missing: bool) -> None:
    """Warn of missing pictures; CaptionerError unless they may be skipped and are few."""
    if not skip_missing:
        raise CaptionerError(f"{message}; add them, or leave them out with --skip-missing")
    if share > MAX_MISSING:
        raise CaptionerError(f"{message}; --skip-missing leaves out at most a tenth of a file's")
    warnings.warn(f"{message}; they are left out", CaptionerWarning, stacklevel=3)


def _files_by_end(name: str, images: Sequence[Path]) -> tuple[list[Path], bool]:
    """The files that fit the end of a name, and whether with their folder they fit all of it."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for start in range(1, len(parts)):
        rest = "/".join(parts[start:])
        # A folder that is called as the part left out is the one that the name means.
        meant = [folder for folder in images if folder.resolve().name == parts[start - 1]]
        files = [file for folder in meant for file in _existing(folder, rest)]
        if files:
            return _distinct(files), True
        files = [file for folder in images for file in _existing(folder, rest)]
        if files:
            return _distinct(files), False
    return [], False


def _existing(folder: Path, name: str) -> list[Path]:
    """The file of this name in a folder; empty if none is there.

    Accents may be stored either way, and folders may be separated as on Windows.
    """
    names = (name, name.replace("\\", "/"))
    spellings = (unicodedata.normalize(form, name) for form in ("NFC", "NFD") for name in names)
    for form in dict.fromkeys((*names, *spellings)):
        try:
            # Path.is_file raises where a name is too long.
            if os.path.isfile(folder / form) or has_member(folder / form):
                return [folder / form]
        except ValueError:  # a null character or half a surrogate pair
            return []
    return []


def _differ(files: Sequence[Path]) -> bool:
    """Whether one of these files is another picture than the first."""
    try:
        return not all(filecmp.cmp(files[0], other, shallow=False) for other in files[1:])
    except OSError:  # one that may not be read may be any picture
        return True


def _distinct(files: Iterable[Path]) -> list[Path]:
    """The files without those that are the same under another path."""
    return list({os.path.realpath(file): file for file in files}.values())
