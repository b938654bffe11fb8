"""Who captions the parts: this process, or the workers of a Ray cluster."""

import logging
import os
import socket
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from captioner.api import Captioner
from captioner.bulk.worker import Job, NumberedPart, Outcome, Worker
from captioner.errors import CaptionerError, CaptionerWarning

MAX_ATTEMPTS = 3  # of a part whose workers end
ANSWER_SECONDS = 10  # for a cluster to answer
# Of a cluster on this machine alone: only parts and outcomes go through it, no pictures.
OBJECT_STORE_BYTES = 128 * 2**20


def caption_locally(job: Job, parts: Sequence[NumberedPart], model: Captioner) -> Iterator[Outcome]:
    """Caption part after part in this process; raises what Worker.caption does."""
    worker = Worker(job, model)
    for part in parts:
        yield worker.caption(part)


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster and what each worker takes of it.

    address: None starts one on this machine; workers: None is as many as fit; gpus: per worker,
    None is one where the cluster has any and the model is not to be on a processor.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1
    gpus: float | None = None


def caption_on_ray(job: Job, parts: Sequence[NumberedPart], cluster: Cluster) -> Iterator[Outcome]:
    """Caption parts on a cluster's workers, each with one part at a time, in any order.

    The part of a worker that ends goes to another one, up to MAX_ATTEMPTS times; a worker that
    cannot work is left out, with a warning. Raises CaptionerError where the cluster does not
    answer, has no room for a worker, or none is left.
    """
    ray = _import_ray()
    with _connected(ray, cluster.address):
        gpus, count = _fit(ray.cluster_resources(), cluster, job)
        actor = ray.remote(num_cpus=cluster.cpus, num_gpus=gpus)(_Actor)
        job = job if gpus else replace(job, device="cpu")
        yield from _Pool(ray, actor, job).run(parts, min(count, len(parts)))


class _Actor:
    """A worker in a process of Ray's; why it cannot work comes back as a value."""

    def __init__(self, job: Job) -> None:
        self.worker = Worker(job)

    def start(self) -> CaptionerError | None:
        try:
            self.worker.load()
        except CaptionerError as error:
            return error
        return None

    def caption(self, part: NumberedPart) -> Outcome | CaptionerError:
        try:
            return self.worker.caption(part)
        except CaptionerError as error:
            return error


class _Pool:
    """Workers with nothing to do, the parts that wait, and what is asked of which worker.

    A part goes to a worker that has started, never to one that waits for room in the cluster.
    """

    def __init__(self, ray: Any, actor: Any, job: Job) -> None:
        self.ray = ray
        self.actor = actor
        self.job = job
        self.idle: deque[Any] = deque()
        self.waiting: deque[NumberedPart] = deque()
        self.asked: dict[Any, tuple[Any, NumberedPart | None]] = {}  # None: to start
        self.attempts: Counter[int] = Counter()

    def run(self, parts: Sequence[NumberedPart], count: int) -> Iterator[Outcome]:
        """Caption parts with so many workers; raises CaptionerError where all are left out."""
        self.waiting.extend(parts)
        for _ in range(count):
            self._start_worker()
        while self.waiting or any(part for _, part in self.asked.values()):
            while self.idle and self.waiting:
                worker, part = self.idle.popleft(), self.waiting.popleft()
                self.asked[worker.caption.remote(part)] = worker, part
            [ready], _ = self.ray.wait(list(self.asked))
            outcome = self._take(ready)
            if outcome is not None:
                yield outcome

    def _start_worker(self) -> None:
        worker = self.actor.remote(self.job)
        self.asked[worker.start.remote()] = worker, None

    def _take(self, ready: Any) -> Outcome | None:
        """What became of a part; None where it is still to be captioned."""
        worker, asked = self.asked.pop(ready)
        try:
            result = self.ray.get(ready)
        except self.ray.exceptions.RayError as error:
            if asked is not None:
                return self._lost(worker, asked, _reason(error))
            result = CaptionerError(f"it does not start ({_reason(error)})")
        if isinstance(result, CaptionerError):
            if asked is not None:
                self.waiting.appendleft(asked)
            if not self.asked and not self.idle:
                raise CaptionerError(f"no worker is left: {result}")
            warnings.warn(f"a worker is left out: {result}", CaptionerWarning, stacklevel=2)
            return None
        self.idle.append(worker)
        return result  # None of a worker that has started

    def _lost(self, worker: Any, asked: NumberedPart, reason: str) -> Outcome | None:
        """Start a worker for one that has ended, and try its part again, or give that up."""
        self.ray.kill(worker)  # it is alive where only the part's captioning has failed
        self._start_worker()
        self.attempts[asked.number] += 1
        if self.attempts[asked.number] == MAX_ATTEMPTS:
            problem = f"{asked.part.name}: left out, since {MAX_ATTEMPTS} workers ended ({reason})"
            return Outcome(0, 0, problem, is_written=False)
        warnings.warn(
            f"a worker has ended ({reason}); another one takes {asked.part.name}",
            CaptionerWarning,
            stacklevel=2,
        )
        self.waiting.appendleft(asked)
        return None


def _reason(error: Exception) -> str:
    """What of one of Ray's messages says what happened."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
    first = str(error).strip().splitlines()[:1]
    return first[0] if first else type(error).__name__


def _fit(resources: dict[str, float], cluster: Cluster, job: Job) -> tuple[float, int]:
    """The GPUs of each worker, and how many workers there are; CaptionerError if none fits."""
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    each = cluster.gpus
    if each is None:
        each = 1 if gpus and (job.device is None or job.device.startswith("cuda")) else 0
    fit = cpus // cluster.cpus
    if each:
        fit = min(fit, gpus // each)
    if fit < 1:
        raise CaptionerError(
            f"no worker fits: each takes {cluster.cpus:g} processors and {each:g} GPUs, the "
            f"cluster has {cpus:g} and {gpus:g}"
        )
    return each, int(fit) if cluster.workers is None else cluster.workers


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of a change
    try:
        import ray
    except ImportError as error:
        raise CaptionerError(
            "--engine ray needs the extra cluster: pip install '.[cluster]'"
        ) from error
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """Connect to a cluster, or start one on this machine, unless this process has done so."""
    if ray.is_initialized():
        yield
        return
    given: dict[str, Any] = {"address": address}
    if address is None:
        given = {"object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    else:
        _check_answers(address)
    try:
        ray.init(**given, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # it has many kinds
        reason = " ".join(str(error).split())
        raise CaptionerError(
            f"{address or 'this machine'}: cannot connect to Ray ({reason})"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Check that something listens at a host:port, which Ray would wait for by minutes."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        if parts.hostname is None or parts.port is None:
            return  # such as auto, which Ray looks up
        socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise CaptionerError(
            f"--address {address}: no Ray cluster answers there ({error}); expected host:port or "
            "auto"
        ) from error
