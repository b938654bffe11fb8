"""Clients that open many connections, send slowly or read nothing, and others beside them."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hostile_pictures
import httpx
import pytest
from helpers import make_picture, post
from starlette import formparsers, requests

from captioner import Captioner
from captioner.serve import limits as guard
from captioner.serve.app import create_app
from captioner.serve.limits import Limits

Serve = Callable[[object], str]


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


def connect(address: str, beginning: bytes = b"") -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(beginning)
    return connection


def head(length: int, method: str = "POST") -> bytes:
    return (
        f"{method} /api/caption HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {length}\r\n"
        "content-type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()


@contextmanager
def hanging(address: str, number: int, beginning: bytes) -> Iterator[list[socket.socket]]:
    connections = [connect(address, beginning) for _ in range(number)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def assert_served(address: str) -> None:
    assert httpx.get(address + "/api/about").status_code == 200
    assert post(address, "/api/caption", make_picture(1)).status_code == 200


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /api/caption HTTP/1.1\r\nhost:", head(5000), head(5000, "GET"), head(10**9)],
    ids=["nothing", "half a head", "half a body", "a body to be ignored", "too long a body"],
)
def test_more_connections_than_there_may_be(
    model: Captioner, serve_app: Serve, beginning: bytes
) -> None:
    limits = Limits(connections=40, arriving=10)
    address = serve_app(create_app(model, limits=limits))
    with hanging(address, 100, beginning):
        for _ in range(3):
            assert_served(address)


def test_a_head_that_trickles_is_broken_off(model: Captioner, serve_app: Serve) -> None:
    address = serve_app(create_app(model, limits=Limits(head_seconds=1)))
    first = connect(address)
    second = connect(address, b"GET /api/about HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
    assert second.recv(1000).startswith(b"HTTP/1.1 200")
    for connection in (first, second):  # a first request, and one after another
        with pytest.raises(OSError):
            for character in 1000 * b"x":
                connection.sendall(bytes([character]))
                time.sleep(0.05)
        connection.close()
    assert_served(address)


def test_an_answer_that_is_not_read_is_given_up(model: Captioner, serve_app: Serve) -> None:
    address = serve_app(create_app(model, limits=Limits(send_seconds=1, connections=30)))
    request = b"GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    whole = len(httpx.get(address + "/swagger/swagger-ui-bundle.js").content)
    asked = 20  # more than the system's buffers take
    with hanging(address, 1, asked * request) as [connection]:
        time.sleep(2.5)
        read = 0
        try:
            while chunk := connection.recv(2**20):
                read += len(chunk)
        except OSError:
            pass
        assert read < asked * whole
    with hanging(address, 40, asked * request):  # and makes room before that
        time.sleep(1)
        assert_served(address)


def test_slow_bodies_make_room_for_others(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "LONG_SECONDS", 0.0)
    content = make_picture(5, (320, 320))
    limits = Limits(arriving=6, held_bytes=3 * len(content))
    app = create_app(model, limits=limits)
    address = serve_app(app)
    with hanging(address, 20, head(len(content)) + content[:-1]) as connections:
        for connection in connections[:14]:
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
        for _ in range(3):
            assert post(address, "/api/caption", content).status_code == 200
    deadline = time.monotonic() + 20
    while app.held_bytes or app.arriving:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_hosts_are_none(model: Captioner, serve_app: Serve) -> None:
    address = serve_app(create_app(model))
    request = b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n"
    with connect(address, request) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_only_forms_of_parts_are_read(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 MB of "&" would take the usual parser of other forms seconds, and everybody with it."""

    def parse(_: object) -> None:
        raise AssertionError("the form was parsed")

    monkeypatch.setattr(requests.FormParser, "parse", parse)
    address = serve_app(create_app(model))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = httpx.post(address + "/api/caption", content=b"&" * 10_000, headers=headers)
    assert answer.status_code == 422
    assert "image: Field required" in answer.json()["error"]


def test_other_applications_keep_their_settings(model: Captioner) -> None:
    before = formparsers.MultiPartParser.spool_max_size
    create_app(model)
    assert formparsers.MultiPartParser.spool_max_size == before > 0


def test_the_command_withstands_many_connections_and_answers_before_it_ends(
    tiny_checkpoint: Path,
) -> None:
    """Though only 320 descriptors are allowed, and all its processes get the signal to end."""
    resource = pytest.importorskip("resource")
    program = "from captioner.cli import main; main()"
    with subprocess.Popen(
        [*(sys.executable, "-c", program), "serve", "--port", "0", "--checkpoint", tiny_checkpoint],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (320, 320)),
    ) as server:
        assert server.stdout and server.stderr
        try:
            address = server.stdout.readline().strip()
            answers: list[httpx.Response] = []
            with hanging(address, 400, b"GET / HT"):
                assert_served(address)
                slow = hostile_pictures.deep_ppm(700)
                client = threading.Thread(
                    target=lambda: answers.append(post(address, "/api/caption", slow))
                )
                client.start()
                time.sleep(0.5)
                assert not answers
                os.killpg(server.pid, signal.SIGTERM)
                client.join()
            assert [answer.status_code for answer in answers] == [200]
            assert server.wait(20) == -signal.SIGTERM
            assert server.stderr.read() == ""
        finally:
            server.kill()
