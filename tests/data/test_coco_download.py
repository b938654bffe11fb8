"""A download ends with the right file, however the server behaves, or with one line of why."""

import hashlib
import io
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from captioner.data import coco_download, download
from captioner.data.coco_download import Archive, download_coco
from captioner.errors import CaptionerError

CONTENT = bytes(range(256)) * 400


class Server:
    """Serves `files` on 127.0.0.1; each fault spoils one request, in order."""

    def __init__(self) -> None:
        self.files = {"/a.zip": CONTENT}
        self.faults: list[str] = []
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.ranges.append(wanted)
        fault = self.faults.pop(0) if self.faults else ""
        content = self.files.get(request.path)
        if content is None or fault.isdigit():
            request.send_error(int(fault or 404))
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if "no range" in fault:
            start = 0
        total = len(content) + (7 if fault == "wrong size" else 0)
        request.send_response(206 if start else 200)
        if start:
            sent = 0 if fault == "wrong part" else start
            request.send_header("Content-Range", f"bytes {sent}-{total - 1}/{total}")
        if fault != "no length":
            request.send_header("Content-Length", str(total - start))
        request.end_headers()
        body = content[start:]
        if "drop after" in fault:
            body = body[: int(fault.split()[-1])]
        if fault == "damage":
            body = bytes(len(body))
        request.wfile.write(body)
        request.close_connection = True

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join(timeout=5)
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    running = Server()
    yield running
    running.close()


def fetch(server: Server, file: Path) -> list[tuple[str, int, int]]:
    seen: list[tuple[str, int, int]] = []
    download.download(
        f"{server.url}/a.zip",
        file,
        size=len(CONTENT),
        md5=hashlib.md5(CONTENT).hexdigest(),
        progress=lambda name, done, total: seen.append((name, done, total)),
    )
    assert file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    return seen


def test_whole(server: Server, tmp_path: Path) -> None:
    seen = fetch(server, tmp_path / "a.zip")
    assert server.ranges == [None]
    assert ("downloading a.zip", len(CONTENT), len(CONTENT)) in seen
    assert seen[-1] == ("checking a.zip", len(CONTENT), len(CONTENT))


def test_dropped_connections_are_resumed(server: Server, tmp_path: Path) -> None:
    server.faults = ["drop after 1000", "drop after 2000", "drop after 3000"]
    fetch(server, tmp_path / "a.zip")
    assert server.ranges == [None, "bytes=1000-", "bytes=3000-", "bytes=6000-"]


def test_a_later_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.faults = ["drop after 1000"] + ["drop after 0"] * download.MAX_FAILURES
    with pytest.raises(CaptionerError, match="1000 of 102400 bytes are here, run the same command"):
        fetch(server, tmp_path / "a.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip.part"]
    server.ranges.clear()
    fetch(server, tmp_path / "a.zip")
    assert server.ranges == ["bytes=1000-"]


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path: Path) -> None:
    server.faults = ["drop after 1000", "no range"]
    fetch(server, tmp_path / "a.zip")
    assert len(server.ranges) == 2


def test_a_server_that_never_gets_further_is_given_up(server: Server, tmp_path: Path) -> None:
    server.faults = ["no range, drop after 1000"] * 100
    with pytest.raises(CaptionerError, match="the connection broke off"):
        fetch(server, tmp_path / "a.zip")
    assert len(server.ranges) == 1 + download.MAX_FAILURES


@pytest.mark.parametrize("fault", ["503", "500", "429", "408", "wrong part", "no length"])
def test_passing_trouble_is_sat_out(server: Server, tmp_path: Path, fault: str) -> None:
    server.faults = ["drop after 1000", fault, fault]
    fetch(server, tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("404", "cannot download .*/a.zip: HTTP Error 404.*check the address"),
        ("416", "HTTP Error 416"),
        ("wrong size", "has 102407 bytes, expected 102400; it is not the file that is wanted"),
    ],
)
def test_lasting_trouble_is_not_repeated(
    server: Server, tmp_path: Path, fault: str, message: str
) -> None:
    server.faults = [fault] * 100
    with pytest.raises(CaptionerError, match=message):
        fetch(server, tmp_path / "a.zip")
    assert len(server.ranges) == 1
    assert list(tmp_path.iterdir()) == []


def test_damage_is_found_and_deleted(server: Server, tmp_path: Path) -> None:
    server.faults = ["damage"]
    with pytest.raises(CaptionerError, match="has the MD5 checksum .*, expected .* deleted"):
        fetch(server, tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []
    fetch(server, tmp_path / "a.zip")


def test_leftovers_that_are_too_long_are_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    fetch(server, tmp_path / "a.zip")
    assert server.ranges == [None]


def test_nobody_answers(tmp_path: Path, server: Server) -> None:
    server.close()
    with pytest.raises(CaptionerError, match="refused.*0 of 102400 bytes"):
        fetch(server, tmp_path / "a.zip")


def test_full_disk_is_not_taken_for_a_broken_connection(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *arguments, **options: Full())
    with pytest.raises(CaptionerError, match="cannot write .*a.zip.part: No space left"):
        fetch(server, tmp_path / "a.zip")
    assert len(server.ranges) == 1


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture
def small_coco(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server with a COCO of two archives of a few bytes."""
    contents = {
        "/annotations/notes.zip": zipped({"annotations/captions_val2014.json": b"{}"}),
        "/zips/val2014.zip": zipped({"val2014/a.jpg": b"a" * 500, "val2014/b.jpg": b"b" * 500}),
    }
    server.files = contents
    holds = ("annotations/captions_val2014.json", "val2014")
    archives = tuple(
        Archive(path[1:], len(content), hashlib.md5(content).hexdigest(), proof)
        for (path, content), proof in zip(contents.items(), holds, strict=True)
    )
    monkeypatch.setattr(coco_download, "COCO_ARCHIVES", {2014: archives})
    return server


def silent(name: str, done: int, total: int) -> None:
    assert 0 <= done <= total


def test_coco_is_unpacked_and_the_archives_are_gone(small_coco: Server, tmp_path: Path) -> None:
    small_coco.faults = ["drop after 100", "", "drop after 200"]
    download_coco(tmp_path / "coco", year=2014, server=small_coco.url + "/", progress=silent)
    found = {
        path.relative_to(tmp_path / "coco").as_posix(): path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert found == {
        "annotations/captions_val2014.json": b"{}",
        "val2014/a.jpg": b"a" * 500,
        "val2014/b.jpg": b"b" * 500,
    }
    requests = len(small_coco.ranges)
    download_coco(tmp_path / "coco", year=2014, server=small_coco.url, progress=silent)
    assert len(small_coco.ranges) == requests  # nothing to do


def test_unpacking_that_was_interrupted_is_done_again(small_coco: Server, tmp_path: Path) -> None:
    (tmp_path / "val2014").mkdir()
    (tmp_path / "val2014" / "a.jpg").write_bytes(b"half")
    (tmp_path / "val2014.zip").write_bytes(small_coco.files["/zips/val2014.zip"])
    download_coco(tmp_path, year=2014, server=small_coco.url, progress=silent)
    assert (tmp_path / "val2014" / "a.jpg").read_bytes() == b"a" * 500
    assert len(small_coco.ranges) == 1  # only the captions


def test_no_room(small_coco: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=700)
    monkeypatch.setattr(coco_download.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CaptionerError, match="has room for 0.0 GB, but 0.0 GB are needed"):
        download_coco(tmp_path, year=2014, server=small_coco.url, progress=silent)
    assert small_coco.ranges == []


def test_a_file_that_is_no_zip(small_coco: Server, tmp_path: Path) -> None:
    (tmp_path / "notes.zip").write_bytes(b"not a zip file")
    with pytest.raises(CaptionerError, match="notes.zip was not a whole zip file .* deleted"):
        download_coco(tmp_path, year=2014, server=small_coco.url, progress=silent)
    download_coco(tmp_path, year=2014, server=small_coco.url, progress=silent)


def test_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cases = [
        (tmp_path, 2015, "http://127.0.0.1", "no COCO of 2015; expected 2014 or 2017"),
        (tmp_path, 2014, "file:///etc", "'file:///etc' is not an address"),
        (tmp_path / "file", 2014, "http://127.0.0.1", "cannot write to .*file"),
    ]
    for folder, year, address, message in cases:
        with pytest.raises(CaptionerError, match=message):
            download_coco(folder, year=year, server=address, progress=silent)


def test_archives_of_coco_are_well_formed() -> None:
    for year, archives in coco_download.COCO_ARCHIVES.items():
        assert {archive.holds for archive in archives} == {
            f"annotations/captions_val{year}.json",
            f"val{year}",
            f"train{year}",
        }
        assert all(len(archive.md5) == 32 and str(year) in archive.name for archive in archives)
