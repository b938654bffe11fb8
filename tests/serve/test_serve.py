"""captioner serve: the JSON API over real connections, and all that may go wrong with them."""

import io
import json
import struct
import threading
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from helpers import make_picture, post
from PIL import Image

from captioner import Captioner
from captioner.decoding.alternatives import find_alternatives
from captioner.serve.app import create_app
from captioner.visualization import explorer

Serve = Callable[[object], str]
MIB = 2**20


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


@pytest.fixture(scope="module")
def address(model: Captioner, serve_app: Serve) -> str:
    return serve_app(create_app(model))


def test_the_caption_is_the_models_own(address: str, model: Captioner) -> None:
    content = make_picture(1, (300, 431), "JPEG")
    wanted = {"attention": True, "runners_up": True}
    answer = post(address, "/api/caption", content, num_captions=2, beam_size=3, **wanted)
    assert answer.status_code == 200
    expected = model.caption(content, num_captions=2, beam_size=3)
    found = answer.json()["captions"]
    assert answer.json()["picture"] is None
    for said, caption in zip(found, expected, strict=True):
        assert said["text"] == caption.text
        assert said["log_probability"] == pytest.approx(caption.log_probability, rel=1e-3)
        assert said["confidence"] == pytest.approx(caption.confidence, rel=1e-3)
        np.testing.assert_allclose(said["attention"], caption.attention, atol=1e-4)
        for word, own in zip(said["words"], caption.words, strict=True):
            assert word["word"] == own.word
            assert word["probability"] == pytest.approx(own.probability, rel=1e-3)
            assert len(word["runners_up"]) == 4


@pytest.mark.parametrize("wanted", [(), ("attention",), ("runners_up",)])
def test_the_reply_has_no_maps_and_no_other_words_unless_it_is_asked_for_them(
    address: str, monkeypatch: pytest.MonkeyPatch, wanted: tuple[str, ...]
) -> None:
    content = make_picture(1)
    both = {"attention": True, "runners_up": True}
    everything = post(address, "/api/caption", content, **both).json()["captions"]
    sought: list[int] = []

    def find(*arguments: Any) -> Any:
        sought.append(len(arguments[2]))
        return find_alternatives(*arguments)

    monkeypatch.setattr(explorer, "find_alternatives", find)
    fields = dict.fromkeys(wanted, True)
    found = post(address, "/api/caption", content, **fields).json()["captions"]
    assert sought == [len(found)] * ("runners_up" in wanted)  # else no second pass of the decoder
    for caption in everything:
        caption["attention"] = caption["attention"] if "attention" in wanted else None
        for word in caption["words"]:
            word["runners_up"] = word["runners_up"] if "runners_up" in wanted else None
    assert found == everything


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
    np.testing.assert_allclose(answer["attention"], expected.attention, atol=1e-4)


def test_the_explorer_holds_what_the_api_says(address: str) -> None:
    content = make_picture(4)
    fields = {"num_captions": 2, "question": ["is this red?", "what is this?"]}
    page = post(address, "/api/explorer", content, **fields)
    assert page.headers["content-disposition"] == 'attachment; filename="explorer.html"'
    [shown] = json.loads(page.text.partition('type="application/json">')[2].partition("<")[0])
    wanted = {"attention": True, "runners_up": True}
    reply = post(address, "/api/caption", content, num_captions=2, **wanted)
    captions = reply.json()["captions"]
    assert shown["captions"] == captions
    assert [one["question"] for one in shown["answers"]] == fields["question"]


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/api/caption", {"num_captions": 2}),
        ("/api/answer", {"question": "is this red?"}),
        ("/api/explorer", {"question": ["is this red?", "what is this?"]}),
    ],
)
def test_a_picture_is_encoded_once_whatever_is_asked_of_it(
    address: str, model: Captioner, path: str, fields: dict[str, object]
) -> None:
    encoded: list[int] = []
    hook = model.model.encoder.register_forward_hook(
        lambda encoder, inputs, features: encoded.append(len(features))
    )
    try:
        assert post(address, path, make_picture(6), **fields).status_code == 200
    finally:
        hook.remove()
    assert encoded == [1]


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
        (bomb(8000, 7000), 413, "million pixels; expected at most 50 million"),
        (bomb(60_000, 60_000), 413, "million pixels; expected at most 50 million"),
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
        ("/api/explorer", {"question": ["is it", "x" * 501]}, "String should have at most 500"),
        ("/api/explorer", {"question": ["is it"] * 21}, "question: "),
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


def test_a_checkpoint_that_cannot_answer_says_so(
    captions_checkpoint: Path, serve_app: Serve
) -> None:
    address = serve_app(create_app(Captioner.load(captions_checkpoint, "cpu")))
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
    for path in ("/swagger/swagger-ui.css", "/swagger/swagger-ui-bundle.js", "/docs.js"):
        assert path in page.text
        assert httpx.get(address + path).status_code == 200
    assert httpx.get(address + "/redoc").status_code == 404


def test_samples_are_served_and_named_by_about(address: str) -> None:
    samples = httpx.get(address + "/api/about").json()["samples"]
    assert len(samples) == 5
    for sample in samples:
        picture = httpx.get(address + sample["address"])
        assert picture.headers["content-type"] == "image/jpeg"
        Image.open(io.BytesIO(picture.content)).verify()
    assert httpx.get(address + "/samples/README.md").status_code == 404


class Web:
    """Stands for the web: a page at each address that ends so, a picture at the others."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def fetch(self, url: str, **limits: object) -> bytes:
        self.asked.append(limits)
        assert self.go_on.wait(60)
        return b"<html>" if url.endswith(".html") else make_picture(1)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    stand_in = Web()
    monkeypatch.setattr("captioner.serve.fetching.fetch", stand_in.fetch)
    return stand_in


def test_pictures_alone_are_fetched_and_only_where_that_is_allowed(
    address: str, model: Captioner, serve_app: Serve, web: Web
) -> None:
    def ask(server: str, url: str) -> httpx.Response:
        return httpx.post(server + "/api/fetch", files={"address": (None, url)})

    assert ask(address, "https://a.example/a.png").status_code == 404
    assert httpx.get(address + "/api/about").json()["fetches"] is False
    fetching = serve_app(create_app(model, fetches=True))
    assert httpx.get(fetching + "/api/about").json()["fetches"] is True
    found = ask(fetching, "https://a.example/a.png")
    assert (found.content, found.headers["content-type"]) == (
        make_picture(1),
        "application/octet-stream",
    )
    assert web.asked == [{"max_bytes": 16 * MIB, "seconds": 20, "public_only": True}]
    for url, message in (
        ("https://a.example/a.html", "is not a picture"),
        ("file:///etc/passwd", "expected an address that starts with https://"),
        ("ftp://a.example/a.png", "expected an address that starts with https://"),
    ):
        refused = ask(fetching, url)
        assert refused.status_code == 400 and message in refused.json()["error"]
    assert len(web.asked) == 2
    foreign = {"origin": "https://evil.example"}
    files = {"address": (None, "https://a.example/a.png")}
    assert httpx.post(fetching + "/api/fetch", files=files, headers=foreign).status_code == 403


def test_only_a_few_pictures_are_fetched_at_once(
    model: Captioner, serve_app: Serve, web: Web
) -> None:
    fetching = serve_app(create_app(model, fetches=True))
    web.go_on.clear()
    files = {"address": (None, "https://a.example/a.png")}
    with ThreadPoolExecutor(6) as clients:
        sent = [
            clients.submit(httpx.post, fetching + "/api/fetch", files=files, timeout=60)
            for _ in range(6)
        ]
        while sum(one.done() for one in sent) < 2:
            time.sleep(0.02)
        web.go_on.set()
        assert sorted(one.result().status_code for one in sent) == [200] * 4 + [429] * 2


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
        assert "server" not in answer.headers


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
        ("evil@127.0.0.1", 400),
        ("127.0.0.1@evil.example", 400),
        ("127.0.0.1/evil.example", 400),
        ("127.0.0.1?evil.example", 400),
        ("127.0.0.1#", 400),
        ("127.0.0.1:8000:8000", 400),
        ("127.0.0.1:evil", 400),
        ("127.0.0.1:123456", 400),
        ("::1", 400),
        ("[127.0.0.1]", 400),
        ("[localhost]", 400),
        ("[::1%25eth0]", 400),
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
