"""Pictures of a folder: all that can be read, nothing hidden, and a word about the rest."""

import os
import warnings
from pathlib import Path

import pytest
from PIL import Image

from captioner.data.picture_folder import pictures_in
from captioner.errors import CaptionerError, CaptionerWarning


def save(file: Path, format: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(file, format)


def test_pictures_under_every_name(tmp_path: Path) -> None:
    expected = [
        "a.AVIF",
        "a.jfif",
        "a.jpe",
        "b.jp2",
        "c.pgm",
        "no_ending",
        "sub/d.download",
        "x.heic",
    ]
    formats = ("AVIF", "JPEG", "JPEG", "JPEG2000", "PPM", "PNG", "WEBP")
    for name, format in zip(expected, formats, strict=False):
        save(tmp_path / name, format)
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x20ftypheic")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pictures_in(tmp_path)
    assert [file.relative_to(tmp_path).as_posix() for file in found] == expected


def test_what_macos_and_others_leave_behind_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", "JPEG")
    for name in ("._a.jpg", "__MACOSX/a.jpg", ".thumbnails/a.jpg", ".DS_Store"):
        save(tmp_path / name, "JPEG")
    assert pictures_in(tmp_path) == [tmp_path / "a.jpg"]


def test_other_files_are_counted(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", "JPEG")
    (tmp_path / "notes.doc").write_text("a dog")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.warns(CaptionerWarning, match="2 files are not pictures .* such as empty"):
        assert pictures_in(tmp_path) == [tmp_path / "a.jpg"]


def test_no_picture_at_all(tmp_path: Path) -> None:
    (tmp_path / "notes.doc").write_text("a dog")
    with pytest.raises(CaptionerError, match="no pictures in this folder"):
        pictures_in(tmp_path)


def test_links_to_pictures_that_are_gone_count_so_that_they_are_reported(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", "JPEG")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    assert pictures_in(tmp_path) == [tmp_path / "a.jpg", tmp_path / "b.jpg"]


def test_links_that_lead_back_end(tmp_path: Path) -> None:
    save(tmp_path / "a.jpg", "JPEG")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert pictures_in(tmp_path) == [tmp_path / "a.jpg"]


def test_a_folder_that_may_not_be_read_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "sub" / "b.jpg", "JPEG")
    locked, scandir = tmp_path / "sub", os.scandir

    def forbid(path: str) -> object:
        if str(path) == str(locked):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", forbid)
    with pytest.raises(CaptionerError, match="sub: a folder that cannot be read .Permission"):
        pictures_in(tmp_path)
    save(tmp_path / "a.jpg", "JPEG")
    with pytest.warns(CaptionerWarning, match="sub: .*its pictures are left out"):
        assert pictures_in(tmp_path) == [tmp_path / "a.jpg"]
