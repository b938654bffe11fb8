"""One thread that runs the model: requests that wait for the same thing share a batch."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from PIL import Image

from captioner.config.settings import DecodingConfig
from captioner.errors import CaptionerError
from captioner.visualization.explorer import Record


@dataclass(frozen=True)
class Request:
    """A picture to be captioned as `decoding` says, unless that is None, and asked questions.

    attention, runners_up: whether the records of its captions have them.
    """

    picture: Image.Image
    decoding: DecodingConfig | None = None
    questions: tuple[str, ...] = ()
    attention: bool = False
    runners_up: bool = False

    @property
    def captions_wanted(self) -> tuple[object, ...]:
        """What requests in one batch have in common."""
        return self.decoding, self.attention, self.runners_up


@dataclass(frozen=True)
class Result:
    """Records of the captions, best first, and of the answers, or why there is no answer."""

    captions: list[Record]
    answers: list[Record | CaptionerError]


@dataclass(eq=False)
class Job:
    """A request that waits, and the future that its result goes to."""

    request: Request
    result: "Future[Result]" = field(default_factory=Future)


class BatchWorker:
    """Runs `infer` on batches of waiting requests that want the same captions.

    How much may wait is for the caller to bound. A job whose future is cancelled is skipped.
    """

    def __init__(
        self, infer: Callable[[Sequence[Request]], Sequence[Result]], *, batch: int
    ) -> None:
        self.infer = infer
        self.batch = batch
        self.waiting: list[Job] = []
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self._work, name="captioner-worker", daemon=True)
        self.thread.start()

    def submit(self, request: Request) -> "Future[Result]":
        """Put a request in the queue; its result, or the error, comes with the future."""
        job = Job(request)
        with self.changed:
            self.waiting.append(job)
            self.changed.notify()
        return job.result

    def close(self) -> None:
        """Finish the current batch and end; what still waits is cancelled."""
        with self.changed:
            self.closed = True
            for job in self.waiting:
                job.result.cancel()
            self.waiting = []
            self.changed.notify()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                results = self.infer([job.request for job in batch])
            except Exception as error:  # whatever it is, the next batch must still be run
                for job in batch:
                    job.result.set_exception(error)
                continue
            for job, result in zip(batch, results, strict=True):
                job.result.set_result(result)

    def _next_batch(self) -> list[Job]:
        """The first waiting job and others that want the same captions; empty once closed."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting or self.closed)
                if self.closed:
                    return []
                wanted = self.waiting[0].request.captions_wanted
                alike = [job for job in self.waiting if job.request.captions_wanted == wanted]
                batch = alike[: self.batch]
                self.waiting = [job for job in self.waiting if job not in batch]
            batch = [job for job in batch if job.result.set_running_or_notify_cancel()]
            if batch:
                return batch
