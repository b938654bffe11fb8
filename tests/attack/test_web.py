"""Web addresses that answer for ever, or lead where they should not."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from captioner.data import web
from captioner.data.web import fetch
from captioner.errors import CaptionerError

Answer = Callable[[socket.socket, str], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], int]]:
    """Starts servers on every address of this machine; gives their ports."""
    monkeypatch.setenv("no_proxy", "*")
    listening = []

    def start(answer: Answer) -> int:
        listener = socket.create_server(("0.0.0.0", 0))
        listening.append(listener)

        def work() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=reply, args=[connection], daemon=True).start()

        def reply(connection: socket.socket) -> None:
            with connection, suppress(OSError, IndexError):  # it may hang up before it asks
                answer(connection, connection.recv(2000).decode().split()[1])

        threading.Thread(target=work, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for listener in listening:
        listener.close()


def send(connection: socket.socket, content: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)


def redirect(connection: socket.socket, target: str) -> None:
    connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: {target}\r\n\r\n".encode())


def get(url: str) -> bytes:
    return fetch(url, max_bytes=1000, seconds=5)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["nothing", "status line", "headers", "content"],
)
def test_an_answer_that_trickles_has_an_end(
    serve: Callable[[Answer], int], beginning: bytes
) -> None:
    hung_up = threading.Event()

    def trickle(connection: socket.socket, _: str) -> None:
        try:
            connection.sendall(beginning)
            for _ in range(400):
                connection.sendall(b"a: b\r\n" if b"OK" in beginning else b"x" * bool(beginning))
                time.sleep(0.05)
        except OSError:
            hung_up.set()

    port = serve(trickle)
    with pytest.raises(CaptionerError, match="not here after 0.3 seconds"):
        fetch(f"http://127.0.0.1:{port}/a.png", max_bytes=10**6, seconds=0.3)
    assert not beginning or hung_up.wait(10)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1:{port}/a", "file:///etc/hostname", "data:,a"])
def test_redirects_lead_to_the_web_only(serve: Callable[[Answer], int], target: str) -> None:
    asked = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        redirect(connection, target.format(port=port))

    port = serve(answer)
    with pytest.raises(CaptionerError, match="cannot be fetched") as error:
        get(f"http://127.0.0.1:{port}/")
    assert asked == ["/"] and "\n" not in str(error.value)


def test_redirects_from_a_public_address_lead_to_public_ones(
    serve: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        if path == "/secret":
            send(connection, b"secret")
        else:
            redirect(connection, f"http://{path[1:]}:{port}/secret")

    port = serve(answer)
    assert get(f"http://127.0.0.1:{port}/127.0.0.2") == b"secret"  # from one's own machine
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    assert get(f"http://127.0.0.1:{port}/127.0.0.1") == b"secret"
    assert get(f"http://127.0.0.2:{port}/127.0.0.1") == b"secret"
    asked.clear()
    with pytest.raises(CaptionerError, match="leads to 127.0.0.2, which is no public"):
        get(f"http://127.0.0.1:{port}/127.0.0.2")
    assert asked == ["/127.0.0.2"]  # the private one was not even asked
    with pytest.raises(CaptionerError, match="leads to 127.0.0.2, which is no public"):
        get(f"http://127.0.0.1:{port}/127.0.0%2e2")  # the same address, spelled to look like a name
    assert "/secret" not in asked
    asked.clear()
    with pytest.raises(CaptionerError, match="leads to 127.0.0.2, which is no public"):
        fetch(f"http://127.0.0.2:{port}/secret", max_bytes=1000, seconds=5, public_only=True)
    assert asked == []
    content = fetch(f"http://127.0.0.1:{port}/secret", max_bytes=9, seconds=5, public_only=True)
    assert content == b"secret"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),  # where clouds keep credentials
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert web.is_public(address) is public


def test_redirects_end(serve: Callable[[Answer], int]) -> None:
    asked: list[str] = []

    def answer(connection: socket.socket, path: str) -> None:
        asked.append(path)
        redirect(connection, "/round" if path.startswith("/round") else f"{path}x")

    port = serve(answer)
    for path in ("/round", "/on"):
        asked.clear()
        with pytest.raises(CaptionerError, match="cannot be fetched") as error:
            get(f"http://127.0.0.1:{port}{path}")
        assert "\n" not in str(error.value)
        assert 1 < len(asked) <= 7
