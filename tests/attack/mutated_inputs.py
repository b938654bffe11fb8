"""Thousands of damaged pictures, checkpoints, text files and requests, each a seed away.

What is damaged is read in a process of its own, so that one that crashes or hangs is counted and
not the end. Each part gives what was lost, a line for each input that did not end in an answer or
in one CaptionerError of one line.
"""

import io
import json
import multiprocessing
import struct
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from pathlib import Path
from random import Random

import hostile_pictures
from helpers import make_picture, save_tiny_checkpoint
from mutations import READERS, make_neighbours, mutated_bytes, mutated_values, written
from PIL import Image

from captioner.api import Captioner
from captioner.data.images import open_picture
from captioner.errors import CaptionerError

SECONDS = 60  # that one input may take, on a machine that does other things, too
BYTES = 400_000_000  # that they may take beyond what the first took

FORMS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
NUMBERS = (10**9, 2**62, -(10**9), 1e300)


def damaged_pictures(tries: int, seed: int) -> list[str]:
    return each_in_a_process(read_damaged_picture, tries, seed)


def damaged_checkpoints(tries: int, seed: int) -> list[str]:
    return each_in_a_process(read_damaged_checkpoint, tries, seed)


def damaged_texts(tries: int, seed: int) -> list[str]:
    return each_in_a_process(read_damaged_text, tries, seed)


def each_in_a_process(read: Callable[[int], str], tries: int, seed: int) -> list[str]:
    """What `read` says of each seed, where it says something, crashes or takes too long."""
    context = multiprocessing.get_context("spawn")
    lost = []
    pool = ProcessPoolExecutor(1, context)
    pool.submit(read, seed).result()  # what it takes to start is not counted
    before = pool.submit(peak_memory).result()
    for number in range(seed, seed + tries):
        try:
            said = pool.submit(read, number).result(SECONDS)
        except (BrokenProcessPool, TooLong) as error:
            said = type(error).__name__
            for process in pool._processes.values():
                process.kill()
            pool = ProcessPoolExecutor(1, context)
        if said:
            lost.append(f"{read.__name__}({number}): {said}")
    grown = pool.submit(peak_memory).result() - before
    pool.shutdown()
    return [*lost, *([f"{grown} bytes more memory"] if grown > BYTES else [])]


def peak_memory() -> int:
    """The most memory, in bytes, that this process has had; 0 where the system does not say."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def outcome(read: Callable[[], object]) -> str:
    """Nothing for an answer or an error of one line; else what came out."""
    try:
        read()
    except CaptionerError as error:
        return "" if "\n" not in str(error) else f"two lines: {error!r}"
    except Exception as error:
        return repr(error)[:300]
    return ""


@cache
def whole_pictures() -> list[bytes]:
    noise = Image.open(io.BytesIO(make_picture(1, (60, 90))))
    plain = [hostile_pictures.save(noise, form) for form in FORMS]
    others = [
        hostile_pictures.save(noise, "JPEG", progressive=True),
        hostile_pictures.save(noise, "PNG", interlace=1),
        hostile_pictures.save(noise.convert("P"), "GIF"),
        hostile_pictures.save(noise, "TIFF", compression="tiff_lzw"),
        hostile_pictures.save(noise, "TIFF", compression="jpeg"),
        hostile_pictures.with_segments(
            0xE1, b"Exif\0\0" + hostile_pictures.exif_entries(300, 9), 1
        ),
        hostile_pictures.commented_gif(5),
        hostile_pictures.run_length_bmp(40, 30),
        hostile_pictures.many_scans(64, 20),
        hostile_pictures.jpeg_in_tiff(64, 5),
        hostile_pictures.deep_ppm(20),
    ]
    return plain + others


def damaged_picture(seed: int) -> bytes:
    """One of the whole pictures, damaged in one to three places."""
    draw = Random(seed)
    content = draw.choice(whole_pictures())
    for _ in range(draw.randint(1, 3)):
        content = mutated_bytes(content, draw)
    return content


def read_damaged_picture(seed: int) -> str:
    return outcome(lambda: open_picture(damaged_picture(seed)))


@cache
def whole_checkpoint() -> tuple[dict[str, object], bytes]:
    """The header of a tiny checkpoint and the bytes after it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tiny.safetensors"
        save_tiny_checkpoint(file)
        content = file.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: bytes, tensors: bytes) -> bytes:
    return struct.pack("<Q", len(header)) + header + tensors


@cache
def damaged_headers() -> list[bytes]:
    """The header with each value of what the checkpoint says of itself replaced."""
    header, _ = whole_checkpoint()
    metadata = header["__metadata__"]
    about = json.loads(metadata["captioner"])  # type: ignore[index]
    short = {name: value for name, value in about.items() if name != "vocabulary"}
    damaged = [*mutated_values(short, ".json"), *numbers_replaced(short)]
    return [
        json.dumps(header | {"__metadata__": {"captioner": text.decode()}}).encode()
        for text in (json_with(text, about) for text in damaged)
    ]


def json_with(text: bytes, about: dict[str, object]) -> bytes:
    """The damaged description with the vocabulary that had been taken out."""
    vocabulary = json.dumps(about["vocabulary"]).encode()
    return text[:1] + b'"vocabulary": ' + vocabulary + b", " + text[1:]


def numbers_replaced(about: dict[str, object]) -> Iterator[bytes]:
    for table in ("model", "decoding"):
        settings: dict[str, object] = about[table]  # type: ignore[assignment]
        for name, value in settings.items():
            for number in NUMBERS if type(value) in (int, float) else ():
                kept = int(number) if type(value) is int else number
                yield json.dumps(about | {table: settings | {name: kept}}).encode()


def damaged_checkpoint(seed: int) -> bytes:
    draw = Random(seed)
    header, tensors = whole_checkpoint()
    plain = json.dumps(header).encode()
    kind = draw.randrange(4)
    if kind == 0:
        return mutated_bytes(joined(plain, tensors), draw)
    if kind == 1:
        return joined(mutated_bytes(plain, draw), tensors)
    return joined(draw.choice(damaged_headers()), tensors)


def read_damaged_checkpoint(seed: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "damaged.safetensors"
        file.write_bytes(damaged_checkpoint(seed))

        def use() -> None:
            model = Captioner.load(file, "cpu")
            model.caption(make_picture(1))
            model.answer(make_picture(1), "is it red?")

        return outcome(use)


def read_damaged_text(seed: int) -> str:
    draw = Random(seed)
    name, read, content = READERS[draw.choice(list(READERS))]
    with tempfile.TemporaryDirectory() as folder:
        make_neighbours(Path(folder))
        file = Path(folder) / name
        damaged = written(content, file.suffix)
        if draw.random() < 0.5 and not isinstance(content, str):
            damaged = draw.choice(list(mutated_values(content, file.suffix)))
        file.write_bytes(mutated_bytes(damaged, draw))
        return outcome(lambda: read(file))
