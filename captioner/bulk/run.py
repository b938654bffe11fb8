"""A whole run: list the source, leave out what is done, caption the rest."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from captioner.api import Captioner
from captioner.bulk.engines import Cluster, caption_locally, caption_on_ray
from captioner.bulk.output import check_form, claim_folder, part_file
from captioner.bulk.parts import Part
from captioner.bulk.sources import absolute, list_parts
from captioner.bulk.worker import Job, NumberedPart, Outcome, checkpoint_file, digest_of
from captioner.config.settings import DecodingConfig
from captioner.decoding.runtime import caption_vocabulary
from captioner.files import exclusive_lock, remote_address, remove_partial


@dataclass(frozen=True)
class Archive:
    """What to caption and where to write it.

    source, pictures_per_part and column are what sources.list_parts takes; form: jsonl or parquet.
    """

    source: str
    output: str
    form: str = "jsonl"
    pictures_per_part: int = 1000
    column: str | None = None


@dataclass(frozen=True)
class Status:
    """How far a run is: parts done, earlier runs' included, of all; and the outcome of the last."""

    done: int
    parts: int
    outcome: Outcome | None


def caption_archive(
    archive: Archive,
    model: Captioner,
    decoding: DecodingConfig,
    *,
    checkpoint: Path | None,
    batch_size: int,
    device: str | None,
    cluster: Cluster | None,
) -> Iterator[Status]:
    """Caption what is not done yet of an archive; the first item says how much was done before.

    cluster: None captions in this process, with `model`, which is what `checkpoint` holds. Each
    worker of a cluster loads it again. Raises CaptionerError for a source, an output folder, a
    cluster or options that cannot be used, and where another run is at work in the folder.
    """
    check_form(archive.form)
    caption_vocabulary(model.runtime)  # raises where it has not learned to caption
    parts = list_parts(
        archive.source, pictures_per_part=archive.pictures_per_part, column=archive.column
    )
    job = Job(
        output=absolute(archive.output),
        form=archive.form,
        checkpoint=None if checkpoint is None else checkpoint_file(checkpoint).absolute(),
        digest=digest_of(checkpoint_file(checkpoint)),
        decoding=decoding,
        batch_size=batch_size,
        device=device,
    )
    there = claim_folder(job.output, _manifest(archive, job, parts))
    waiting = [
        NumberedPart(number, part)
        for number, part in enumerate(parts)
        if part_file("", number, archive.form) not in there
    ]
    before = len(parts) - len(waiting)
    yield Status(before, len(parts), None)
    if not waiting:
        return
    with _at_work(job):
        if cluster is None:
            outcomes = caption_locally(job, waiting, model)
        else:
            outcomes = caption_on_ray(job, waiting, cluster)
        for done, outcome in enumerate(outcomes, start=before + 1):
            yield Status(done, len(parts), outcome)


@contextmanager
def _at_work(job: Job) -> Iterator[None]:
    """Keep other runs out of a folder of this machine, and remove what killed ones have left."""
    if remote_address(job.output) is not None:
        yield
        return
    with exclusive_lock(Path(job.output, ".lock"), wait=False):
        remove_partial(Path(job.output), f".{job.form}")
        yield


def _manifest(archive: Archive, job: Job, parts: Sequence[Part]) -> dict[str, Any]:
    """What makes a run another one: its source, its model and its options."""
    listing = hashlib.sha256()
    for part in parts:
        listing.update(repr(part).encode("utf-8", errors="backslashreplace"))
    decoding = {f"decoding.{name}": value for name, value in asdict(job.decoding).items()}
    return {
        "source": archive.source,
        "column": archive.column,
        "pictures per part": archive.pictures_per_part,
        "format": archive.form,
        "checkpoint": job.digest,
        **decoding,
        "parts": len(parts),
        "listing": listing.hexdigest(),
    }
