"""What captions a part: the same on one machine and on each worker of a cluster."""

import hashlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioner.api import Captioner
from captioner.bulk.output import Row, part_file, write_rows
from captioner.bulk.parts import Part, Readable
from captioner.config.settings import DecodingConfig
from captioner.data.tar_files import CutShort
from captioner.errors import CaptionerError
from captioner.files import best_of_run, default_checkpoint
from captioner.version import __version__


@dataclass(frozen=True)
class Job:
    """What all workers do; sent to each.

    checkpoint: None is the bundled one of the machine that the worker is on; digest: its SHA-256.
    """

    output: str
    form: str
    checkpoint: Path | None
    digest: str
    decoding: DecodingConfig
    batch_size: int
    device: str | None
    version: str = __version__


@dataclass(frozen=True)
class NumberedPart:
    """A part and its number in the source, which names its file."""

    number: int
    part: Part


@dataclass(frozen=True)
class Outcome:
    """What became of a part: its pictures, those of them that failed, and what went wrong with it.

    is_written: otherwise the part could not be read, and a restart tries it again.
    """

    pictures: int
    failed: int
    problem: str | None = None
    is_written: bool = True


class Worker:
    """Captions parts with a model that it loads once."""

    def __init__(self, job: Job, model: Captioner | None = None) -> None:
        self.job = job
        self.model = model

    def load(self) -> Captioner:
        """The model; CaptionerError where it is not there, or its device cannot be used."""
        if self.model is None:
            self.model = load_model(self.job)
        return self.model

    def caption(self, numbered: NumberedPart) -> Outcome:
        """Caption a part and write its file.

        Raises CaptionerError where this worker cannot work: for what `load` raises, and where the
        file cannot be written.
        """
        rows, problem = caption_part(self.load(), numbered.part, self.job)
        if rows is None:
            return Outcome(0, 0, problem, is_written=False)
        write_rows(part_file(self.job.output, numbered.number, self.job.form), rows)
        failed = sum(row["error"] is not None for row in rows) - (problem is not None)
        return Outcome(len(rows) - (problem is not None), failed, problem)


def caption_part(model: Captioner, part: Part, job: Job) -> tuple[list[Row] | None, str | None]:
    """The rows of a part, one per picture in order, and what went wrong with the part itself.

    Where it is cut short, a last row says so; where it cannot be read now, there are no rows.
    """
    names: deque[str] = deque()
    problem: str | None = None

    def pictures() -> Iterator[Readable]:
        nonlocal problem
        try:
            for name, picture in part.pictures():
                names.append(name)
                yield picture
        except CutShort as error:  # after it, the pictures before it still have to be captioned
            problem = str(error)

    rows: list[Row] = []
    try:
        results = model.caption_each(pictures(), decoding=job.decoding, batch_size=job.batch_size)
        for _, result in results:
            rows.append(_row(names.popleft(), result))
    except CaptionerError as error:
        return None, str(error)
    if problem is not None:
        rows.append({"picture": part.name, "caption": None, "confidence": None, "error": problem})
    return rows, problem


def _row(name: str, result: Any) -> Row:
    if isinstance(result, CaptionerError):
        return {"picture": name, "caption": None, "confidence": None, "error": str(result)}
    best = result[0]
    confidence = round(best.confidence, 4)
    return {"picture": name, "caption": best.text, "confidence": confidence, "error": None}


def load_model(job: Job) -> Captioner:
    """Load the job's model, the same as everywhere; CaptionerError where it is another one."""
    if job.version != __version__:
        raise CaptionerError(
            f"captioner {__version__} is installed here, {job.version} where the run was started; "
            "install the same"
        )
    file = checkpoint_file(job.checkpoint)
    if digest_of(file) != job.digest:
        raise CaptionerError(
            f"{file} is another checkpoint than the one where the run was started; copy that here"
        )
    return Captioner.load(file, job.device, runtime=None)


def checkpoint_file(checkpoint: Path | None) -> Path:
    """The file of a checkpoint, of the folder of a run, or the bundled one."""
    if checkpoint is None:
        return default_checkpoint()
    return best_of_run(checkpoint) if checkpoint.is_dir() else checkpoint


def digest_of(file: Path) -> str:
    """The SHA-256 of a checkpoint; CaptionerError where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise CaptionerError(f"{file}: no such checkpoint file") from error
    except OSError as error:
        raise CaptionerError(f"{file} cannot be read ({error.strerror})") from error
