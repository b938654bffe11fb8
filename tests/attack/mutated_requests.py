"""Thousands of requests to a running `captioner serve`: damaged pictures, fields and bytes."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import httpx
from helpers import make_picture, post, save_tiny_checkpoint
from mutated_inputs import damaged_picture
from mutations import mutated_bytes
from process_size import MIB, size_of
from training_processes import CODE

CLIENTS = 8
FIELDS = (
    "beam_size", "num_captions", "max_words", "seed", "temperature", "top_p", "question",
    "attention", "runners_up",
)  # fmt: skip
VALUES = ("", "-1", "0", "1e9", "9" * 5000, "nan", "\0", "\x1b[2J", "é" * 500, "true", "3")
PATHS = ("/api/caption", "/api/answer", "/api/explorer", "/api/about", "/", "/docs", "/none")


@dataclass(frozen=True)
class Served:
    """A running server: where, which process, and where its stderr goes."""

    address: str
    process: int
    stderr: Path


def requests(tries: int, seed: int) -> list[str]:
    """Ask a server so often; what was lost. Needs Linux's /proc."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        expected = post(served.address, "/api/caption", make_picture(1)).json()["captions"]
        first = tries // 5  # until then, caches and threads are filled
        lost = ask(served, range(seed, seed + first))
        before = size_of(served.process)
        lost += ask(served, range(seed + first, seed + tries))
        answer = post(served.address, "/api/caption", make_picture(1))
        if answer.status_code != 200 or answer.json()["captions"] != expected:
            lost.append(f"an undamaged picture afterwards: {answer.status_code} {answer.text}")
        lost += before.growth(size_of(served.process), memory=64 * MIB, descriptors=CLIENTS)
        printed = served.stderr.read_text()
        return [*lost, *([f"it printed {printed[-500:]}"] if "Traceback" in printed else [])]


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    save_tiny_checkpoint(folder / "tiny.safetensors")
    command = [sys.executable, "-c", CODE, "serve", "--port", "0", "--checkpoint"]
    with (folder / "stderr").open("w") as stderr:
        started = subprocess.Popen(
            [*command, str(folder / "tiny.safetensors")],
            stdout=subprocess.PIPE, stderr=stderr, text=True,
        )  # fmt: skip
        try:
            assert started.stdout
            address = started.stdout.readline().strip()
            yield Served(address, started.pid, folder / "stderr")
        finally:
            started.terminate()
            started.wait(60)


def ask(served: Served, seeds: range) -> list[str]:
    with ThreadPoolExecutor(CLIENTS) as clients:
        return [said for said in clients.map(partial(ask_once, served.address), seeds) if said]


def ask_once(address: str, seed: int) -> str:
    """Nothing where the server answered as it should, or closed what was no request."""
    draw = Random(seed)
    try:
        if draw.random() < 0.3:
            return ask_raw(address, draw)
        fields = {draw.choice(FIELDS): draw.choice(VALUES) for _ in range(draw.randrange(3))}
        content = damaged_picture(seed) if draw.random() < 0.7 else make_picture(1)
        answer = post(address, draw.choice(PATHS[:3]), content, **fields)
        if "html" not in answer.headers["content-type"]:
            answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return f"ask_once({seed}): {error!r}"
    return f"ask_once({seed}): status {answer.status_code}" if answer.status_code >= 500 else ""


def ask_raw(address: str, draw: Random) -> str:
    """A whole request, damaged in its bytes; what is left open is closed here."""
    body = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a"\r\n\r\n'
    body += make_picture(1) + b"\r\n--x--\r\n"
    head = f"POST {draw.choice(PATHS)} HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    head += f"content-length: {len(body)}\r\ncontent-type: multipart/form-data; boundary=x\r\n\r\n"
    request = head.encode() + body if draw.random() < 0.5 else mutated_bytes(head.encode(), draw)
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        answer = b""
        with suppress(ConnectionError):  # it may hang up on what is no request
            connection.sendall(mutated_bytes(request, draw))
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
    return f"{answer!r} for {request[:200]!r}" if answer[9:10] == b"5" else ""
