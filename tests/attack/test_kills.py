"""Training whose processes are killed: it says so in a line, and what it learned is not lost."""

import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from helpers import CPU, Quiet, assert_equal, settings, weights
from training_processes import CODE, has_advanced, make_pictures, position, running, train_command

from captioner.errors import LostWorker
from captioner.model import checkpoint
from captioner.model.tensor_file import read_tensors
from captioner.training.loop import fit


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    make_pictures(folder)
    return folder


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
