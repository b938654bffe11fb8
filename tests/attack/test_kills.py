"""Training whose processes are killed: it says so in a line, and what it learned is not lost."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from helpers import CPU, Quiet, assert_equal, settings, weights
from PIL import Image

from captioner.errors import LostWorker
from captioner.model import checkpoint
from captioner.model.tensor_file import read_tensors
from captioner.training.loop import fit

CODE = "import sys; from captioner.cli import main; main()"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    make_pictures(folder)
    return folder


def make_pictures(folder: Path) -> None:
    """Six plain pictures with captions."""
    lines = []
    for number in range(6):
        Image.new("RGB", (40, 30), (40 * number, 80, 120)).save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "caption": f"picture number {number}"}))
    (folder / "captions.jsonl").write_text("\n".join(lines))


class KillsAWorker(Quiet):
    """A reporter that kills the first process that reads pictures for a batch."""

    def interrupted(self) -> bool:
        children = multiprocessing.active_children()
        if children and not self.asked:
            self.asked = 1
            os.kill(children[0].pid or 0, signal.SIGKILL)
        return False


def test_a_killed_reader_of_pictures_costs_nothing(pictures: Path, tmp_path: Path) -> None:
    changes = {"encoder_weights": "none", "augment": True, "workers": 1, "pictures_per_batch": 1}
    run = settings(pictures, **changes, epochs=1)
    fit(run, tmp_path / "whole", device=CPU, resume=False, reporter=Quiet())
    with pytest.raises(LostWorker, match="a process that reads pictures has ended"):
        fit(run, tmp_path / "part", device=CPU, resume=False, reporter=KillsAWorker())
    assert 1 <= position(tmp_path / "part")[1] < 6
    fit(run, tmp_path / "part", device=CPU, resume=True, reporter=Quiet())
    assert_equal(weights(tmp_path / "part"), weights(tmp_path / "whole"))


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


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_killed_reader_is_one_line_and_exit_status_1(pictures: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    command = train_command(pictures, output, "training.augment=true", "training.workers=2")
    with running(command, (output / "best.safetensors").exists) as started:
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        deadline = time.monotonic() + 60
        while started.poll() is None and time.monotonic() < deadline:
            for child in children.read_text().split():
                with suppress(OSError):  # it has ended by itself
                    os.kill(int(child), signal.SIGKILL)
            time.sleep(0.02)
        _, err = started.communicate(timeout=60)
    assert started.returncode == 1
    assert "Traceback" not in err
    assert f"go on with: captioner train --output {output} --resume" in err.splitlines()[-1]


def test_whenever_training_is_killed_it_can_go_on(pictures: Path, tmp_path: Path) -> None:
    """Every file that is there is whole, and the next start gets further."""
    moments = random.Random(0)
    output = tmp_path / "run"
    resume = [sys.executable, "-c", CODE, "train", "--output", str(output), "--resume"]
    before = (0, 3)
    for command in (train_command(pictures, output), resume):
        with running(command, partial(has_advanced, output, before)):
            time.sleep(moments.random())
        for file in output.glob("*.safetensors"):
            read_tensors(file)
        checkpoint.load(output / "best.safetensors")
        before = position(output)


def has_advanced(output: Path, before: tuple[int, int]) -> bool:
    return (output / "state.safetensors").exists() and position(output) > before
