"""captioner serve: the JSON API over real connections, and all that may go wrong with them."""

import io
import json
import socket
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from captioner import Captioner, CaptionerError, cli
from captioner.serve.app import create_app
from captioner.serve.guard import Limits
from captioner.serve.worker import Look, Worker

Serve = Callable[[object], str]
MIB = 2**20


@pytest.fixture(scope="module")
def model(answering_checkpoint: Path) -> Captioner:
    return Captioner.load(answering_checkpoint, "cpu")


@pytest.fixture(scope="module")
def address(model: Captioner, serve_app: Serve) -> str:
    return serve_app(create_app(model))


def make_picture(seed: int, size: tuple[int, int] = (50, 70), form: str = "PNG") -> bytes:
    noise = np.random.default_rng(seed)
    pixels = (noise.random((*size, 3)) * noise.integers(30, 256, 3)).astype(np.uint8)
    with io.BytesIO() as content:
        Image.fromarray(pixels).save(content, form)
        return content.getvalue()


def post(address: str, path: str, content: bytes, **fields: object) -> httpx.Response:
    files = {"image": ("../../etc/passwd", content)}
    return httpx.post(address + path, files=files, data=fields, timeout=60)


def test_the_caption_is_the_models_own(address: str, model: Captioner) -> None:
    content = make_picture(1, (300, 431), "JPEG")
    answer = post(address, "/api/caption", content, num_captions=2, beam_size=3)
    assert answer.status_code == 200
    expected = model.caption(content, num_captions=2, beam_size=3)
    found = answer.json()["captions"]
    assert answer.json()["picture"] is None
    for said, caption in zip(found, expected, strict=True):
        assert said["text"] == caption.text
        assert said["log_probability"] == pytest.approx(caption.log_probability, rel=1e-3)
        np.testing.assert_allclose(said["attention"], caption.attention, atol=2e-5)
        for word, own in zip(said["words"], caption.words, strict=True):
            assert word["word"] == own.word
            assert word["probability"] == pytest.approx(own.probability, rel=1e-3)
            assert len(word["runners_up"]) == 4


def test_settings_change_the_caption(address: str, model: Captioner) -> None:
    content = make_picture(2)
    short = post(address, "/api/caption", content, max_words=2).json()["captions"]
    assert [len(one["words"]) for one in short] == [len(model.caption(content, max_words=2).words)]
    drawn = {
        post(address, "/api/caption", content, temperature=3, seed=seed).json()["captions"][0][
            "text"
        ]
        for seed in (1, 1, 2, 3, 4)
    }
    assert 1 < len(drawn) <= 4


def test_the_preview_is_upright(address: str) -> None:
    with io.BytesIO() as content:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (90, 30)).save(content, "JPEG", exif=exif)
        answer = post(address, "/api/caption", content.getvalue(), preview=True)
    uri = answer.json()["picture"]
    assert uri.startswith("data:image/jpeg;base64,")
    with Image.open(httpx_bytes(uri)) as shown:
        assert shown.size == (30, 90)


def httpx_bytes(uri: str) -> io.BytesIO:
    import base64

    return io.BytesIO(base64.b64decode(uri.partition("base64,")[2]))


def test_the_answer_is_the_models_own(address: str, model: Captioner) -> None:
    content = make_picture(3)
    answer = post(address, "/api/answer", content, question="what color is this?").json()
    expected = model.answer(content, "what color is this?")
    assert answer["question"] == "what color is this?"
    assert answer["text"] == expected.text
    assert [one["text"] for one in answer["top"]] == [one.text for one in expected.top]
    np.testing.assert_allclose(answer["attention"], expected.attention, atol=2e-5)


def test_the_explorer_holds_what_the_api_says(address: str) -> None:
    content = make_picture(4)
    fields = {"num_captions": 2, "question": ["is this red?", "what is this?"]}
    page = post(address, "/api/explorer", content, **fields)
    assert page.headers["content-disposition"] == 'attachment; filename="explorer.html"'
    [shown] = json.loads(page.text.partition('type="application/json">')[2].partition("<")[0])
    captions = post(address, "/api/caption", content, num_captions=2).json()["captions"]
    assert shown["captions"] == captions
    assert [one["question"] for one in shown["answers"]] == fields["question"]


def test_fifty_at_once_each_get_their_own_caption(address: str, model: Captioner) -> None:
    contents = [make_picture(100 + number) for number in range(50)]
    with ThreadPoolExecutor(50) as clients:
        answers = list(clients.map(lambda one: post(address, "/api/caption", one), contents))
    assert [answer.status_code for answer in answers] == [200] * 50
    said = [answer.json()["captions"][0]["text"] for answer in answers]
    assert said == [caption.text for caption in model.caption(contents)]
    assert len(set(said)) > 5


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that promises many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"not a picture", 400, "is not a picture that can be read; expected one of JPEG"),
        (b"", 400, "is not a picture"),
        (make_picture(1, (300, 300), "JPEG")[:2000], 400, "damaged or incomplete"),
        (make_picture(1, (300, 300))[:2000], 400, "damaged or incomplete"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 400, "is not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400, "is not a picture"),
        (bomb(8000, 7000), 413, "more than 50 million pixels"),
        (bomb(60_000, 60_000), 413, "more than 50 million pixels"),
        (b"x" * (16 * MIB), 413, "larger than 16 MiB"),
    ],
    ids=["text", "empty", "jpeg cut", "png cut", "eps", "svg", "large", "bomb", "bytes"],
)
def test_what_is_no_picture_is_refused_in_a_line(
    address: str, content: bytes, status: int, message: str
) -> None:
    for path, fields in (("/api/caption", {}), ("/api/answer", {"question": "what is this?"})):
        answer = post(address, path, content, **fields)
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]
        assert message in answer.json()["error"]
        assert "\n" not in answer.json()["error"]
    assert post(address, "/api/caption", make_picture(1)).status_code == 200


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("/api/caption", {"beam_size": 11}, "beam_size: "),
        ("/api/caption", {"beam_size": "many"}, "beam_size: "),
        ("/api/caption", {"num_captions": 6}, "num_captions: "),
        ("/api/caption", {"temperature": "nan"}, "temperature"),
        ("/api/caption", {"num_captions": 4, "beam_size": 2}, "num_captions is 4 but beam_size"),
        ("/api/answer", {}, "question: "),
        ("/api/answer", {"question": "x" * 501}, "question: "),
        ("/api/answer", {"question": "quis est?"}, "no word of the question 'quis est?' is known"),
    ],
)
def test_bad_fields_are_told_in_a_line(
    address: str, path: str, fields: dict[str, object], message: str
) -> None:
    answer = post(address, path, make_picture(1), **fields)
    assert answer.status_code in (400, 422)
    assert message in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"nothing like a form", b"--x\r\n", b"--x\r\n\r\n\r\n"])
def test_requests_that_are_no_form(address: str, body: bytes) -> None:
    for kind in ("multipart/form-data; boundary=x", "multipart/form-data", "application/json"):
        answer = httpx.post(address + "/api/caption", content=body, headers={"content-type": kind})
        assert answer.status_code in (400, 422)
        assert list(answer.json()) == ["error"]


def test_a_file_is_never_found_by_a_path(address: str) -> None:
    for path in (
        "/../captioner/api.py",
        "/%2e%2e/pyproject.toml",
        "/page.css/../page.html",
        "/etc",
    ):
        assert httpx.get(address + path).status_code == 404
    files = {"image": (None, "/etc/passwd")}  # a path where the picture should be
    answer = httpx.post(address + "/api/caption", files=files)
    assert answer.status_code == 422
    assert "root:" not in answer.text


def test_a_checkpoint_that_cannot_answer_says_so(tiny_checkpoint: Path, serve_app: Serve) -> None:
    address = serve_app(create_app(Captioner.load(tiny_checkpoint, "cpu")))
    assert httpx.get(address + "/api/about").json()["answers"] is False
    for path in ("/api/answer", "/api/explorer"):
        answer = post(address, path, make_picture(1), question="what is this?")
        assert answer.status_code == 501
        assert "answers no questions" in answer.json()["error"]
    assert post(address, "/api/explorer", make_picture(1)).status_code == 200


def test_the_description_names_every_path_and_loads_nothing_from_elsewhere(address: str) -> None:
    described = httpx.get(address + "/openapi.json").json()
    assert set(described["paths"]) == {
        "/api/about", "/api/caption", "/api/answer", "/api/explorer"
    }  # fmt: skip
    for path in ("/", "/docs"):
        page = httpx.get(address + path)
        assert page.status_code == 200
        assert 'src="http' not in page.text and 'href="http' not in page.text
    for path in described["paths"]:
        assert path in page.text
    assert httpx.get(address + "/redoc").status_code == 404


def test_every_answer_has_the_security_headers(address: str) -> None:
    answers = [
        httpx.get(address + "/"),
        httpx.get(address + "/explorer.js"),
        httpx.get(address + "/nothing"),
        post(address, "/api/caption", b"no picture"),
        httpx.get(address + "/", headers={"host": "evil.example"}),
    ]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers or "uvicorn" in answer.headers["server"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:1", 200),
        ("[::1]:8000", 200),
        ("192.168.0.7", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("localhost.evil.example:8000", 400),
        ("evil@127.0.0.1.example", 400),
        ("", 400),
        ("[", 400),
    ],
)
def test_only_our_own_names_are_answered_to(address: str, host: str, status: int) -> None:
    """A name that an attacker has pointed at this machine must not reach it (DNS rebinding)."""
    assert httpx.get(address + "/", headers={"host": host}).status_code == status


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_pages_of_other_origins_may_not_ask(address: str, origin: str) -> None:
    files = {"image": ("a.png", make_picture(1))}
    refused = httpx.post(address + "/api/caption", files=files, headers={"origin": origin})
    assert refused.status_code == 403
    own = httpx.post(address + "/api/caption", files=files, headers={"origin": address})
    assert own.status_code == 200
    asked = httpx.options(
        address + "/api/caption",
        headers={"origin": origin, "access-control-request-method": "POST"},
    )
    assert asked.status_code in (403, 405)


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
    try:
        answer = httpx.post(address + "/api/caption", content=endless(), headers=headers)
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # it may hang up on who goes on sending
    assert sent < 5 * MIB
    small = make_picture(1)
    assert post(address, "/api/caption", small).status_code == 200


class Slow:
    """A model that looks at nothing until it may; it notes how many pictures came together."""

    def __init__(self, model: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
        from captioner.serve import desk

        self.may = threading.Event()
        self.batches: list[int] = []
        real = desk.caption_pictures

        def find(model: Captioner, pictures: Sequence, decoding: object) -> object:
            self.batches.append(len(pictures))
            assert self.may.wait(30)
            return real(model, pictures, decoding)

        monkeypatch.setattr(desk, "caption_pictures", find)


def test_what_arrives_together_is_looked_at_together(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    address = serve_app(create_app(model, limits=Limits(batch=4)))
    contents = [make_picture(200 + number) for number in range(10)]
    with ThreadPoolExecutor(10) as clients:
        asked = [clients.submit(post, address, "/api/caption", one) for one in contents]
        time.sleep(1.5)  # all of them have arrived; the first is being looked at
        slow.may.set()
        said = [one.result().json()["captions"][0]["text"] for one in asked]
    assert said == [caption.text for caption in model.caption(contents)]
    assert sum(slow.batches) == 10
    assert max(slow.batches) == 4
    assert len(slow.batches) <= 5


def test_one_too_many_is_asked_to_come_back(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    address = serve_app(create_app(model, limits=Limits(requests=3)))
    with ThreadPoolExecutor(3) as clients:
        asked = [
            clients.submit(post, address, "/api/caption", make_picture(number))
            for number in range(3)
        ]
        time.sleep(1)
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
    address = serve_app(create_app(model, limits=Limits(held_bytes=2 * len(content))))
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(post, address, "/api/caption", content)
        time.sleep(0.5)
        assert post(address, "/api/caption", content).status_code == 429
        slow.may.set()
        assert first.result().status_code == 200
    # What was refused, broken off or answered holds nothing any more.
    assert post(address, "/api/caption", content).status_code == 200


def test_an_answer_that_takes_too_long_ends(
    model: Captioner, serve_app: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(model, monkeypatch)
    address = serve_app(create_app(model, limits=Limits(answer_seconds=0.5)))
    answers = [post(address, "/api/caption", make_picture(1)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [504, 504]
    slow.may.set()
    time.sleep(0.5)
    assert post(address, "/api/caption", make_picture(1)).status_code == 200
    assert slow.batches == [1, 1]  # nobody waited for the second any more


def test_clients_that_hang_hold_up_nobody(model: Captioner, serve_app: Serve) -> None:
    address = serve_app(create_app(model, limits=Limits(requests=8, read_seconds=1)))
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


def test_memory_stays_bounded(address: str) -> None:
    """Large pictures that come together: each takes 36 MB as pixels."""
    resource = pytest.importorskip("resource")
    with io.BytesIO() as content:
        Image.new("RGB", (4000, 3000), "red").save(content, "JPEG")
        picture = content.getvalue()
    post(address, "/api/caption", picture)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ThreadPoolExecutor(20) as clients:
        answers = clients.map(lambda _: post(address, "/api/caption", picture), range(20))
        assert {answer.status_code for answer in answers} == {200}
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 250_000  # KiB; all twenty at once would take 700,000


def test_a_batch_that_fails_takes_no_other_with_it(model: Captioner) -> None:
    picture = Image.new("RGB", (8, 8))
    calls: list[int] = []

    def find(looks: Sequence[Look]) -> list:
        calls.append(len(looks))
        if looks[0].question == "break":
            raise RuntimeError("broken")
        return [CaptionerError("unknown") if one.question == "?" else {} for one in looks]

    worker = Worker(find, batch=3)
    broken = worker.submit(Look(picture, question="break"))
    with pytest.raises(RuntimeError, match="broken"):
        broken.result(5)
    asked = [worker.submit(Look(picture, question=text)) for text in ("a", "?", "b")]
    assert asked[0].result(5) == asked[2].result(5) == {}
    with pytest.raises(CaptionerError, match="unknown"):
        asked[1].result(5)
    worker.close()
    worker.thread.join(5)
    assert not worker.thread.is_alive()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["captioner", "serve", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_without_the_extra_it_says_how_to_get_it(
    run: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, out, err = run()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'captioner[web]'" in err


def test_a_port_that_is_taken(run: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, err = run("--port", str(taken.getsockname()[1]))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "choose another --port" in err


def test_an_address_that_is_not_ours(run: Callable) -> None:
    status, _, err = run("--host", "192.0.2.1")
    assert (status, err.count("\n")) == (2, 1)
    assert "cannot listen on 192.0.2.1 port 8000" in err


def test_the_command_serves_until_it_is_stopped(tiny_checkpoint: Path) -> None:
    import os
    import signal
    import subprocess

    program = "from captioner.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--checkpoint", str(tiny_checkpoint)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    ) as server:
        assert server.stdout and server.stderr
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:")
            assert post(address, "/api/caption", make_picture(1)).status_code == 200
        finally:
            server.send_signal(signal.SIGINT)
        assert server.wait(20) in (0, 130)
        assert "Traceback" not in server.stderr.read()
