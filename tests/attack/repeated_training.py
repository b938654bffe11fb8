"""Training that is killed again and again, or repeated: its weights are the same, bit for bit."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

from helpers import CPU, Quiet, settings, weights
from torch import Tensor
from training_processes import CODE, make_pictures, train_command

from captioner.training.loop import fit

EPOCHS = 300  # of the run that is killed


def kill_often(tries: int, folder: Path, seed: int) -> list[str]:
    """Kill a training at random moments and go on; at its end it equals an uninterrupted one."""
    make_pictures(folder)
    draw = Random(seed)
    whole, killed = folder / "whole", folder / "killed"
    epochs = ["--epochs", str(EPOCHS)]
    lost = [train([*train_command(folder, whole), *epochs])]
    first = [*train_command(folder, killed), *epochs]
    resume = [sys.executable, "-c", CODE, "train", "--output", str(killed), "--resume"]
    for _ in range(tries):
        # It takes some seconds to start: a part of the kills comes before the first step.
        command = resume if (killed / "settings.toml").exists() else first
        lost.append(train(command, draw.uniform(1, 9)))
    lost.append(train(resume))
    for name in ("best", "last"):
        if differ(weights(whole, name), weights(killed, name)):
            lost.append(f"{name} differs from that of the uninterrupted run")
    return [line for line in lost if line]


def train(command: list[str], seconds: float | None = None) -> str:
    """Train to the end or, with seconds, until it is killed; what went wrong, if anything did."""
    started = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    with suppress(subprocess.TimeoutExpired):
        started.wait(seconds)
    ended = started.poll() is not None
    started.kill()
    _, printed = started.communicate()
    if ended and seconds is not None:
        return f"it ended before it could be killed: {printed[-300:]}"
    expected = -signal.SIGKILL if seconds is not None else 0
    if started.returncode != expected or "Traceback" in printed:
        return f"status {started.returncode}, {printed[-300:]}"
    return ""


def train_with_workers(tries: int, folder: Path) -> list[str]:
    """Train so often from the same seed, with 0 to 3 processes that read pictures."""
    make_pictures(folder)
    lost = []
    for number in range(tries):
        workers = number % 4
        run = settings(folder, encoder_weights="none", augment=True, workers=workers)
        fit(run, folder / str(number), device=CPU, resume=False, reporter=Quiet())
        if differ(weights(folder / "0"), weights(folder / str(number))):
            lost.append(f"training with {workers} workers gives other weights")
    return lost


def differ(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() != other.keys() or any(not one[name].equal(other[name]) for name in one)
