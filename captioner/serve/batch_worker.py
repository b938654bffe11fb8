"""The one thread that looks at pictures: what waits for the same thing, it looks at together."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError
from captioner.visualization.explorer import Record


@dataclass(frozen=True)
class Look:
    """A picture to be captioned as `decoding` says, or asked the question."""

    picture: Image.Image
    decoding: DecodingConfig | None = None
    question: str | None = None


@dataclass(eq=False)
class Job:
    look: Look
    result: "Future[Any]" = field(default_factory=Future)


# What is found in each picture: records of captions, the record of an answer, or why there is none.
Found = list[Record] | Record | CaptionerError


class Worker:
    """Runs `find` on batches of what waits: all captions with the same decoding, or all questions.

    How much may wait is for the caller to bound. A job whose future is cancelled is passed over.
    """

    def __init__(self, find: Callable[[Sequence[Look]], Sequence[Found]], *, batch: int) -> None:
        self.find = find
        self.batch = batch
        self.waiting: list[Job] = []
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name="captioner-worker", daemon=True)
        self.thread.start()

    def submit(self, look: Look) -> "Future[Any]":
        """Put a look in the queue; what was found, or the error, comes with the future."""
        job = Job(look)
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()
        return job.result

    def close(self) -> None:
        """Finish the batch at hand and end; what still waits is cancelled."""
        with self.changed:
            self.closed = True
            for job in self.waiting:
                job.result.cancel()
            self.waiting = []
            self.changed.notify()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                found = self.find([job.look for job in batch])
            except Exception as error:  # whatever it is, the next batch must still be looked at
                for job in batch:
                    job.result.set_exception(error)
                continue
            for job, one in zip(batch, found, strict=True):
                if isinstance(one, CaptionerError):
                    job.result.set_exception(one)
                else:
                    job.result.set_result(one)

    def _next_batch(self) -> list[Job]:
        """The first that waits and others like it; empty once closed."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.closed)
                if self.closed:
                    return []
                decoding = self.waiting[0].look.decoding
                alike = [job for job in self.waiting if job.look.decoding == decoding]
                batch = alike[: self.batch]
                self.waiting = [job for job in self.waiting if job not in batch]
            batch = [job for job in batch if job.result.set_running_or_notify_cancel()]
            if batch:
                return batch
