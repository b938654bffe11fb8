"""Files are written whole or not at all, and what went wrong is said in one line."""

import os
import stat
from pathlib import Path

import pytest

from captioner.errors import CaptionerError
from captioner.files import atomic_write, check_output, exclusive_lock, remove_partial


def test_a_failure_keeps_the_older_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    atomic_write(file, lambda partial: partial.write_text("old"))

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CaptionerError, match="kept.txt: cannot be written .No space left"):
        atomic_write(file, fail)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_the_disk_has_the_content_before_the_name_and_then_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def record_sync(opened: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(opened).st_mode) else "content")
        sync(opened)

    def record_replace(source: Path, target: Path) -> None:
        done.append("name")
        replace(source, target)

    monkeypatch.setattr("os.fsync", record_sync)
    monkeypatch.setattr("os.replace", record_replace)
    atomic_write(tmp_path / "a.txt", lambda partial: partial.write_text("new"))
    assert done == ["content", "name", "folder"]


def test_what_a_kill_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in ("a.safetensors", ".tmp123", ".a.txt.partial")]
    left = [tmp_path / name for name in (".a.safetensors.partial", ".b.safetensors.partial.folder")]
    left[1].mkdir()
    for file in (*kept, left[0], left[1] / ".tmp1"):
        file.write_text("text")
    remove_partial(tmp_path, ".safetensors")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


@pytest.mark.parametrize("name", ["file/a.txt", "none/a.txt", "a" * 300])
def test_places_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CaptionerError, match="cannot be written .*choose another folder or name"):
        atomic_write(tmp_path / name, lambda partial: partial.write_text("new"))


def test_a_text_without_bytes_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="a.txt: cannot be written .*surrogates not allowed"):
        atomic_write(tmp_path / "a.txt", lambda file: file.write_text("\udce9", encoding="utf-8"))


def test_only_one_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    refused = pytest.raises(CaptionerError, match="another run is at work here")
    with exclusive_lock(lock, wait=False), refused, exclusive_lock(lock, wait=False):
        pass
    with exclusive_lock(lock, wait=False):
        pass
    unwritable = pytest.raises(CaptionerError, match="cannot be written")
    with unwritable, exclusive_lock(tmp_path / ("a" * 300), wait=False):
        pass


def test_where_no_file_can_be_is_said_before_the_work(tmp_path: Path) -> None:
    check_output(tmp_path / "new.json")
    with pytest.raises(CaptionerError, match="there is no folder .*none; make it first"):
        check_output(tmp_path / "none" / "new.json")
    with pytest.raises(CaptionerError, match="is a folder; expected the name of a file"):
        check_output(tmp_path)
