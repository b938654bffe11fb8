"""What the server takes on, and what it does with clients that ask too much."""

import io
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from helpers import make_picture, post
from PIL import Image
from torch import Tensor

from captioner import Captioner
from captioner.config.settings import DecodingConfig
from captioner.serve.app import create_app
from captioner.serve.batch_worker import BatchWorker, Request, Result
from captioner.serve.limits import Limits
from captioner.serve.picture_decoder import PictureDecoder, Prepared

Serve = Callable[[object], str]
MIB = 2**20


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def address(model: Captioner, serve_app: Serve) -> str:
    return serve_app(create_app(model))


def test_uploads_never_reach_the_disk(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of several megabytes, which form parsers like to put in a temporary file."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(tempfile, "_TemporaryFileWrapper", refuse)
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    large = make_picture(7, (1100, 1000))
    assert len(large) > 3 * MIB
    assert post(address, "/api/caption", large).status_code == 200


def test_a_request_without_a_length_is_cut_off_where_it_is_too_large(
    model: Captioner, serve_app: Serve
) -> None:
    address = serve_app(create_app(model, limits=Limits(upload_bytes=100_000)))
    sent = 0

    def endless() -> Sequence[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while sent < 50 * MIB:
            sent += 50_000
            yield bytes(50_000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    # A send buffer that does not grow: only what the server takes is counted as sent.
    small_buffer = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)]
    try:
        with httpx.Client(transport=httpx.HTTPTransport(socket_options=small_buffer)) as client:
            answer = client.post(address + "/api/caption", content=endless(), headers=headers)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it may hang up on who goes on sending
    assert sent < 5 * MIB
    small = make_picture(1)
    assert post(address, "/api/caption", small).status_code == 200


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Slow:
    """A model that looks at nothing until it may; it notes how many pictures came together."""

    def __init__(self, model: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
        from captioner.serve import inference

        self.may = threading.Event()
        self.batches: list[int] = []
        real = inference.caption_records

        def find(
            model: Captioner, features: Tensor, decoding: DecodingConfig, **wanted: bool
        ) -> object:
            self.batches.append(len(features))
            assert self.may.wait(30)
            return real(model, features, decoding, **wanted)

        monkeypatch.setattr(inference, "caption_records", find)


def test_what_arrives_together_is_looked_at_together(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    app = create_app(model, limits=Limits(batch=4))
    address = serve_app(app)
    contents = [make_picture(200 + number) for number in range(10)]
    with ThreadPoolExecutor(10) as clients:
        asked = [clients.submit(post, address, "/api/caption", one) for one in contents]
        # The first look has begun, with one picture or with those that were ready as soon.
        wait_for(lambda: app.requests == 10 and len(slow.batches) == 1)
        time.sleep(1)  # and the others are decoded
        slow.may.set()
        said = [one.result().json()["captions"][0]["text"] for one in asked]
    assert said == [caption.text for caption in model.caption(contents)]
    assert sum(slow.batches) == 10
    assert 1 < max(slow.batches) <= 4
    assert len(slow.batches) <= 5


def test_one_too_many_is_asked_to_come_back(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    app = create_app(model, limits=Limits(requests=3))
    address = serve_app(app)
    with ThreadPoolExecutor(3) as clients:
        asked = [
            clients.submit(post, address, "/api/caption", make_picture(number))
            for number in range(3)
        ]
        wait_for(lambda: app.requests == 3)
        refused = post(address, "/api/caption", make_picture(9))
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "too many requests" in refused.json()["error"]
        assert httpx.get(address + "/").status_code == 200
        slow.may.set()
        assert [one.result().status_code for one in asked] == [200] * 3
    assert post(address, "/api/caption", make_picture(9)).status_code == 200


def test_uploads_together_hold_no_more_than_they_may(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    content = make_picture(5, (200, 200))
    app = create_app(model, limits=Limits(held_bytes=2 * len(content)))
    address = serve_app(app)
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(post, address, "/api/caption", content)
        wait_for(lambda: app.held_bytes > len(content))
        assert post(address, "/api/caption", content).status_code == 429
        slow.may.set()
        assert first.result().status_code == 200
    # What was refused, broken off or answered holds nothing any more.
    assert post(address, "/api/caption", content).status_code == 200


def test_an_answer_that_takes_too_long_ends(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    address = serve_app(create_app(model, limits=Limits(answer_seconds=2)))
    answers = [post(address, "/api/caption", make_picture(1)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [504, 504]
    slow.may.set()
    assert post(address, "/api/caption", make_picture(1)).status_code == 200
    assert slow.batches == [1, 1]  # nobody waited for the second any more


def test_clients_that_hang_hold_up_nobody(model: Captioner, serve_app: Serve) -> None:
    address = serve_app(create_app(model, limits=Limits(requests=8, read_seconds=3)))
    host, port = address.removeprefix("http://").split(":")
    head = (
        f"POST /api/caption HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5000\r\n"
        "content-type: multipart/form-data; boundary=x\r\n\r\n--x"
    ).encode()
    beginnings = [b"", b"POST /api/cap", head, head, head, head]
    hanging = [socket.create_connection((host, int(port)), timeout=10) for _ in beginnings]
    for connection, beginning in zip(hanging, beginnings, strict=True):
        connection.sendall(beginning)
    hanging.pop().close()  # one that breaks off
    assert post(address, "/api/caption", make_picture(1)).status_code == 200
    for connection in hanging[2:]:
        assert connection.recv(2000).startswith(b"HTTP/1.1 408")
    for connection in hanging:
        connection.close()
    with ThreadPoolExecutor(8) as clients:  # every place is free again
        answers = clients.map(lambda n: post(address, "/api/caption", make_picture(n)), range(8))
        assert [answer.status_code for answer in answers] == [200] * 8


def test_memory_stays_bounded(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large pictures that come together: each takes 36 MB as pixels, in a process of its own."""
    resource = pytest.importorskip("resource")
    with io.BytesIO() as content:
        Image.new("RGB", (4000, 3000), "red").save(content, "JPEG")
        picture = content.getvalue()
    post(address, "/api/caption", picture)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    decode, running, most = PictureDecoder._decode, 0, 0

    async def count(decoder: PictureDecoder, *given: Any) -> Prepared:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await decode(decoder, *given)
        finally:
            running -= 1

    monkeypatch.setattr(PictureDecoder, "_decode", count)
    with ThreadPoolExecutor(20) as clients:
        answers = clients.map(lambda _: post(address, "/api/caption", picture), range(20))
        assert {answer.status_code for answer in answers} == {200}
    assert 0 < most <= Limits().decoders + Limits().slow_decoders
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 250_000  # KiB; all twenty at once in the server itself would take 700,000


def test_a_batch_is_of_requests_that_want_the_same_captions() -> None:
    picture, may = Image.new("RGB", (8, 8)), threading.Event()
    batches: list[list[Request]] = []

    def infer(requests: Sequence[Request]) -> list[Result]:
        batches.append(list(requests))
        assert may.wait(5)
        return [Result([], []) for _ in requests]

    worker = BatchWorker(infer, batch=9)
    blocking = worker.submit(Request(picture, questions=("first",)))
    wait_for(lambda: len(batches) == 1)
    plain, maps, others = (
        Request(picture),
        Request(picture, attention=True),
        Request(picture, runners_up=True),
    )
    asked = [worker.submit(one) for one in (plain, maps, others, plain, others)]
    may.set()
    for one in (blocking, *asked):
        one.result(5)
    worker.close()
    assert batches[1:] == [[plain, plain], [maps], [others, others]]


def test_a_batch_that_fails_takes_no_other_with_it() -> None:
    picture = Image.new("RGB", (8, 8))
    calls: list[int] = []

    def infer(requests: Sequence[Request]) -> list[Result]:
        calls.append(len(requests))
        if requests[0].questions == ("break",):
            raise RuntimeError("broken")
        return [Result([], [{"text": text} for text in one.questions]) for one in requests]

    worker = BatchWorker(infer, batch=3)
    broken = worker.submit(Request(picture, questions=("break",)))
    with pytest.raises(RuntimeError, match="broken"):
        broken.result(5)
    asked = [worker.submit(Request(picture, questions=(text,))) for text in ("a", "?", "b")]
    assert [one.result(5).answers[0] for one in asked] == [{"text": text} for text in "a?b"]
    worker.close()
    worker.thread.join(5)
    assert not worker.thread.is_alive()
