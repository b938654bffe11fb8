"""Uploads that take long, or much, to decode, against a server that others use meanwhile."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hostile_pictures
import httpx
import pytest
from helpers import make_picture, post
from PIL import Image

from captioner import Captioner
from captioner.errors import CaptionerError
from captioner.serve.app import create_app
from captioner.serve.limits import Limits, Refusal
from captioner.serve.picture_decoder import PictureDecoder

Serve = Callable[[object], str]
SLOW = hostile_pictures.deep_ppm(1500)  # decoded sample by sample, until it is broken off


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> Captioner:
    return Captioner.load(tiny_checkpoint, "cpu")


def test_others_are_answered_while_a_slow_picture_is_decoded(
    model: Captioner, serve_app: Serve
) -> None:
    limits = Limits(decoders=1, turn_seconds=0.1, decode_cpu_seconds=2)
    address = serve_app(create_app(model, limits=limits))
    expected = model.caption(make_picture(1)).text
    with ThreadPoolExecutor(1) as clients:
        hostile = clients.submit(post, address, "/api/caption", SLOW)
        for _ in range(3):
            answer = post(address, "/api/caption", make_picture(1))
            assert answer.json()["captions"][0]["text"] == expected
        assert httpx.get(address + "/api/about").status_code == 200
        assert not hostile.done()
        assert hostile.result().status_code == 413
        assert "takes " in hostile.result().json()["error"]
    assert post(address, "/api/caption", make_picture(1)).status_code == 200


async def decode(decoder: PictureDecoder, content: bytes) -> str:
    """What becomes of it: its colour, or the status and the message."""
    try:
        prepared = await decoder.decode(content, side=5, preview=False)
        return str(prepared.picture.getpixel((2, 2)))
    except Refusal as refusal:
        return f"{refusal.status} {refusal}"
    except CaptionerError as error:
        return f"400 {error}"


RED = hostile_pictures.save(Image.new("RGB", (30, 20), "red"), "PNG")


@pytest.mark.parametrize(
    ("limits", "content"),
    [
        (Limits(decode_seconds=0.5), SLOW),
        (Limits(decode_cpu_seconds=0), SLOW),
        (
            Limits(decode_bytes=30_000_000),
            hostile_pictures.save(Image.new("RGB", (4000, 4000)), "PNG"),
        ),
    ],
    ids=["time", "computing time", "memory"],
)
def test_a_picture_that_takes_too_much_is_refused_and_the_next_is_not(
    limits: Limits, content: bytes
) -> None:
    if sys.platform != "linux" and limits.decode_seconds > 1:
        pytest.skip("bounded as Linux does it")

    async def run() -> list[str]:
        decoder = PictureDecoder(limits)
        await decoder.start()
        said = [await decode(decoder, one) for one in (RED, content, RED, content, RED)]
        await decoder.close()
        return said

    first, refused, second, again, third = asyncio.run(run())
    assert first == second == third == "(255, 0, 0)"
    assert refused == again and refused.startswith("413 ") and "memory" in refused


def test_where_many_take_long_the_others_wait() -> None:
    limits = Limits(decoders=1, slow_decoders=1, turn_seconds=0.2, decode_seconds=1.5)

    async def run() -> list[str]:
        decoder = PictureDecoder(limits)
        said = await asyncio.gather(*(decode(decoder, one) for one in (SLOW, SLOW, RED)))
        assert decoder.slow == 0 and len(decoder.idle) <= 1
        await decoder.close()
        return said

    assert [one[:3] for one in asyncio.run(run())] == ["413", "413", "(25"]


def test_processes_that_died_are_replaced_and_none_is_left() -> None:
    async def run() -> list[int]:
        decoder = PictureDecoder(Limits(decoders=2))
        await decoder.start()
        started = [process.pid for process in decoder.idle]
        os.kill(started[1], signal.SIGKILL)
        await decoder.idle[1].wait()
        assert await decode(decoder, RED) == "(255, 0, 0)"
        assert [process.pid for process in decoder.idle] == started[:1]
        assert (await decode(decoder, b"none")).startswith("400 the picture given as 4 bytes is")
        # Whoever no longer waits for a picture takes its process along.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(decode(decoder, SLOW), 0.3)
        assert await decode(decoder, RED) == "(255, 0, 0)"
        started += [process.pid for process in decoder.idle]
        await decoder.close()
        return started

    for process in asyncio.run(run()):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_the_folder_that_the_server_was_started_in_is_not_imported_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)

    async def run() -> str:
        decoder = PictureDecoder(Limits())
        said = await decode(decoder, RED)
        await decoder.close()
        return said

    assert asyncio.run(run()) == "(255, 0, 0)"
