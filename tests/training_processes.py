"""Training in processes of their own, which can be killed."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from captioner.model.tensor_file import read_tensors

CODE = "import sys; from captioner.cli import main; main()"


def make_pictures(folder: Path) -> None:
    """Six plain pictures with captions."""
    lines = []
    for number in range(6):
        Image.new("RGB", (40, 30), (40 * number, 80, 120)).save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "caption": f"picture number {number}"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))


def position(output: Path) -> tuple[int, int]:
    """The epoch and the step of the state that a run has saved."""
    saved = json.loads(read_tensors(output / "state.safetensors")[1]["position"])
    return saved["epoch"], saved["step"]


def train_command(pictures: Path, output: Path, *changes: str) -> list[str]:
    captions = str(pictures / "captions.jsonl")
    data = ["--images", str(pictures), "--captions", captions, "--val-captions", captions]
    small = ["model.encoder_stage=features.3", "model.image_size=64", "model.hidden_size=16"]
    small += ["training.min_count=1", "training.save_steps=1", "training.pictures_per_batch=2"]
    options = [text for change in (*small, *changes) for text in ("--set", change)]
    fresh = ["--encoder-weights", "none", "--epochs", "4000"]
    return [sys.executable, "-c", CODE, "train", *data, *options, *fresh, "--output", str(output)]


@contextmanager
def running(command: list[str], until: Callable[[], bool]) -> Iterator[subprocess.Popen[str]]:
    """A process, from when something has happened; killed at the end."""
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(until, started)
        yield started
    finally:
        started.kill()
        started.wait()


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if happened():
            return
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    raise AssertionError("nothing happened in a minute")


def has_advanced(output: Path, before: tuple[int, int]) -> bool:
    return (output / "state.safetensors").exists() and position(output) > before
