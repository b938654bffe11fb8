"""What PATH arguments stand for, from folders to web addresses that misbehave."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from captioner import CaptionerError
from captioner.cli import sources
from captioner.cli.sources import is_one_picture, list_pictures
from captioner.data import images
from captioner.data.images import open_picture


def png(colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (7, 5), colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "sub/deep/c.webp", "notes.txt", "sub/notes.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}" if name.startswith(("notes", "sub/notes")) else png())
    (tmp_path / "album.png").mkdir()
    return tmp_path


def names(*arguments: str) -> list[str]:
    return [str(source) for source in list_pictures(list(arguments))]


def test_a_folder_is_read_to_its_depths_in_order_pictures_only(folder):
    assert names(".") == ["a.JPG", "b.png", "sub/deep/c.webp"]


def test_arguments_keep_their_order_and_a_file_may_have_any_name(folder):
    assert names("notes.txt", "sub", "a.JPG") == ["notes.txt", "sub/deep/c.webp", "a.JPG"]


def test_a_glob_is_what_the_shell_would_have_made_of_it(folder):
    assert names("[ab].*") == ["a.JPG", "b.png"]
    assert names("**/*.webp") == ["sub/deep/c.webp"]
    assert names("s*") == ["sub/deep/c.webp"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(folder):
    (folder / "photo[1].png").write_bytes(png())
    (folder / "photo1.png").write_bytes(png())
    assert names("photo[1].png") == ["photo[1].png"]
    assert is_one_picture(["photo[1].png"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [("album.png", "no pictures in this folder"), ("*.tiff", "matches no file")],
)
def test_nothing_to_look_at_is_said(folder, argument, message):
    with pytest.raises(CaptionerError, match=message):
        list_pictures([argument])


def test_a_file_that_is_not_there_is_left_for_the_reading(folder):
    assert names("gone.png", "b.png") == ["gone.png", "b.png"]


@pytest.mark.parametrize(
    ("arguments", "alone"),
    [
        (["a.JPG"], True),
        (["-"], True),
        (["https://example.org/a.png?size=*"], True),
        (["gone.png"], True),
        (["a.JPG", "b.png"], False),
        (["sub"], False),
        (["sub/*/*.webp"], False),
    ],
)
def test_a_folder_or_a_glob_is_never_one_picture_however_few_it_holds(folder, arguments, alone):
    assert is_one_picture(arguments) is alone


def give_standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_standard_input_is_a_picture(monkeypatch):
    give_standard_input(monkeypatch, png("blue"))
    [source] = list_pictures(["-"])
    assert str(source) == "-"
    assert open_picture(source).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(("content", "message"), [(b"", "is empty"), (b"x" * 101, "more than")])
def test_standard_input_without_a_picture(monkeypatch, content, message):
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    give_standard_input(monkeypatch, content)
    with pytest.raises(CaptionerError, match=f"standard input.*{message}"):
        open_picture(list_pictures(["-"])[0])


class Server(BaseHTTPRequestHandler):
    """Serves one picture and every way in which that can go wrong."""

    def do_GET(self) -> None:
        if self.path == "/gone.png":
            self.send_error(404)
            return
        if self.path == "/file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        self.send_response(200)
        if self.path == "/short.png":
            self.send_header("Content-Length", "5000")
        self.end_headers()
        if self.path == "/endless.png":
            self.trickle(b"x" * 1000, pause=0)
        elif self.path == "/slow.png":
            self.trickle(b"x", pause=0.05)
        else:
            self.wfile.write(png("lime"))

    def trickle(self, piece: bytes, pause: float) -> None:
        try:
            for _ in range(200):
                self.wfile.write(piece)
                time.sleep(pause)
        except OSError:
            pass  # the client hung up, as it should

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def test_a_web_address_is_fetched_only_when_it_is_read(address):
    [source, unread] = list_pictures([f"{address}/ok.png", f"{address}/gone.png"])
    assert open_picture(source).getpixel((0, 0)) == (0, 255, 0)
    assert str(unread) == f"{address}/gone.png"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/gone.png", "404"),
        ("/endless.png", "larger than"),
        ("/slow.png", "not here after 1 seconds"),
        ("/short.png", "broke off"),
        ("/file", "cannot be fetched"),
    ],
)
def test_a_web_address_that_fails_is_one_error_that_names_it(address, path, message, monkeypatch):
    monkeypatch.setattr(images, "WEB_BYTES", 50_000)
    monkeypatch.setattr(images, "WEB_SECONDS", 1)
    with pytest.raises(CaptionerError, match=message) as caught:
        open_picture(list_pictures([address + path])[0])
    assert address + path in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "http://", "http://a:b/c.png"])
def test_an_address_where_nobody_answers(url):
    with pytest.raises(CaptionerError, match="cannot be fetched"):
        open_picture(list_pictures([url])[0])
