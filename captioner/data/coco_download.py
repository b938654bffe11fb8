"""The archives of MS COCO: where they are, and how they become folders of captions and pictures."""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from captioner.data.download import Progress, download
from captioner.errors import CaptionerError


@dataclass(frozen=True)
class Archive:
    """A zip file: its path on the server, its size in bytes, and something that it unpacks to."""

    path: str
    size: int
    md5: str
    holds: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


# The bucket behind images.cocodataset.org, under the name that its certificate is for.
COCO_SERVER = "https://s3.amazonaws.com/images.cocodataset.org"

# COCO publishes no checksums; these are the ones that other projects have recorded and agree on.
COCO_ARCHIVES = {
    2014: (
        Archive(
            path="annotations/annotations_trainval2014.zip",
            size=252_872_794,
            md5="0a379cfc70b0e71301e0f377548639bd",
            holds="annotations/captions_val2014.json",
        ),
        Archive(
            path="zips/val2014.zip",
            size=6_645_013_297,
            md5="a3d79f5ed8d289b7a7554ce06a5782b3",
            holds="val2014",
        ),
        Archive(
            path="zips/train2014.zip",
            size=13_510_573_713,
            md5="0da8c0bd3d6becc4dcb32757491aca88",
            holds="train2014",
        ),
    ),
    2017: (
        Archive(
            path="annotations/annotations_trainval2017.zip",
            size=252_907_541,
            md5="f4bbac642086de4f52a3fdda2de5fa2c",
            holds="annotations/captions_val2017.json",
        ),
        Archive(
            path="zips/val2017.zip",
            size=815_585_330,
            md5="442b8da7639aecaf257c1dceb8ba8c80",
            holds="val2017",
        ),
        Archive(
            path="zips/train2017.zip",
            size=19_336_861_798,
            md5="cced6f7f71b7629ddf16f17bbcfab6b2",
            holds="train2017",
        ),
    ),
}


def download_coco(folder: Path, *, year: int, server: str, progress: Progress) -> None:
    """Download COCO's captions and pictures of 2014 or 2017 into a folder and unpack them there.

    Archives are deleted once they are unpacked; what is already there is kept, so that the same
    call goes on after a break. Raises CaptionerError for an unknown year, an address that is not
    HTTP, too small a disk, a damaged archive, and whatever the download raises.
    """
    if year not in COCO_ARCHIVES:
        raise CaptionerError(f"no COCO of {year}; expected {' or '.join(map(str, COCO_ARCHIVES))}")
    if not server.startswith(("http://", "https://")):
        raise CaptionerError(f"{server!r} is not an address that begins with http:// or https://")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wanted = [archive for archive in COCO_ARCHIVES[year] if not _unpacked(folder, archive)]
        _check_room(folder, wanted)
        for archive in wanted:
            file = folder / archive.name
            if not file.exists():
                url = f"{server.rstrip('/')}/{archive.path}"
                download(url, file, size=archive.size, md5=archive.md5, progress=progress)
            _unpack(file, folder, progress)
    except OSError as error:
        raise CaptionerError(f"cannot write to {folder}: {error.strerror or error}") from error


def _unpacked(folder: Path, archive: Archive) -> bool:
    return (folder / archive.holds).exists() and not (folder / archive.name).exists()


def _check_room(folder: Path, wanted: list[Archive]) -> None:
    """Before the first byte: all of it unpacked, and the largest archive beside it."""
    sizes = [archive.size for archive in wanted]
    files = [folder / name for a in wanted for name in (a.name, f"{a.name}.part")]
    here = sum(file.stat().st_size for file in files if file.exists())
    _require(folder, sum(sizes) + max(sizes, default=0) - here)


def _require(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CaptionerError(
            f"{folder} has room for {free / 1e9:.1f} GB, but {needed / 1e9:.1f} GB are needed; "
            "choose another disk or make room"
        )


def _unpack(file: Path, folder: Path, progress: Progress) -> None:
    """Unpack an archive, then delete it; as long as it is there, it counts as not unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            _require(folder, total)
            done = 0
            for member in members:
                archive.extract(member, folder)
                done += member.file_size
                progress(f"unpacking {file.name}", done, total)
    except zipfile.BadZipFile as error:
        file.unlink()
        raise CaptionerError(
            f"{file} was not a whole zip file ({error}) and has been deleted; "
            "run the same command again"
        ) from error
    file.unlink()
