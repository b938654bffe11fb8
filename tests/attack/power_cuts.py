"""Simulated power cuts while a training runs: what is on the disk can be gone on from.

A disk image holds the run's folder. At random moments the training is stopped and the image copied:
what the system still kept in memory is lost, as in a power cut. The copy is mounted, which replays
the journal. There the settings and the log must be readable, every .safetensors file whole, and the
state at least as far as the one whose saving had ended. Needs root (for a loop device with ext4)
and mkfs.ext4.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training_processes import make_pictures, running, train_command

from captioner.config.toml_file import read_saved_stages
from captioner.errors import CaptionerError
from captioner.model.tensor_file import read_tensors
from captioner.training.log import TrainingLog
from captioner.training.state import BEFORE, read_state

IMAGE_BYTES = 96 * 2**20
UNSYNCED = "import captioner.files as files; files._sync = lambda *_: None; "


def cut_often(
    cuts: int, *, folder: Path, seed: int, mount_options: str, without_sync: bool
) -> list[str]:
    """Train on a disk image and cut the power; what was lost, a line for each cut with losses."""
    image, copy = folder / "disk", folder / "copy"
    make_pictures(folder)
    with image.open("wb") as opened:
        opened.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    moments, problems = random.Random(seed), []
    with mounted(image, folder / "mounted", mount_options) as disk:
        run = disk / "run"
        command = train_command(folder, run)
        if without_sync:
            command[2] = UNSYNCED + command[2]
        with running(command, (run / "best.safetensors").exists) as training:
            os.sync()
            for cut in range(cuts):
                time.sleep(moments.random())
                saved = 0 if without_sync else step_of(run / BEFORE)
                training.send_signal(signal.SIGSTOP)
                copy_still(image, copy)
                training.send_signal(signal.SIGCONT)
                with mounted(copy, folder / "after", mount_options) as after:
                    found = losses(after / "run", saved)
                if found:
                    problems.append(f"cut {cut}: {found}")
    return problems


@contextmanager
def mounted(image: Path, folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", f"loop,commit=1,{options}", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def copy_still(image: Path, copy: Path) -> None:
    """Copy the image at a moment at which nothing is written to it."""
    for _ in range(100):
        shutil.copyfile(image, copy)
        if digest(copy) == digest(image):
            return
    raise RuntimeError(f"{image} never stands still")


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def step_of(file: Path) -> int:
    """The step of a saved state, which may be replaced while it is read."""
    with tempfile.TemporaryDirectory() as folder:
        while True:
            with suppress(FileNotFoundError):
                shutil.copyfile(file, Path(folder) / file.name)
                return read_state(Path(folder), lambda note: None).position.step


def losses(run: Path, saved: int) -> str:
    """What cannot be gone on from; empty where all can."""
    notes: list[str] = []
    try:
        read_saved_stages(run / "settings.toml")
        TrainingLog(run / "log.jsonl").records()
        for file in run.glob("*.safetensors"):
            read_tensors(file)
        state = read_state(run, notes.append)
    except CaptionerError as error:
        return str(error)
    if notes:
        return notes[0]
    step = state.position.step
    return f"step {step}, though step {saved} had been saved" if step < saved else ""
